package pipeline

import (
	"context"
	"slices"

	"github.com/antflow/antflow"
)

// emit is called by the function of a FlatMap, with one more value.
func (e *engine) emit(ctx context.Context, it *item, s *site, val any) error {
	e.mu.Lock()
	p := e.pools[s.pool]
	for {
		if c := it.canceledBy(); c != nil {
			e.unlock()
			return c
		}
		if err := ctx.Err(); err != nil {
			e.unlock()
			return err
		}
		if e.mayEmitLocked(it) {
			break
		}
		// Without its worker: what may emit, because all wait for it, may
		// wait for that.
		st := &stall{it: it, wake: make(chan struct{}, 1)}
		e.stalled = append(e.stalled, st)
		p.running--
		p.serveLocked()
		e.unlock()
		antflow.Blocking(ctx, func() error {
			select {
			case <-st.wake:
			case <-ctx.Done():
			}
			return nil
		})
		p.claim(ctx)
		e.mu.Lock()
		if i := slices.Index(e.stalled, st); i >= 0 {
			e.stalled = slices.Delete(e.stalled, i, i+1)
		}
	}
	part := e.partOfLocked(it, nil, s.next)
	e.addLocked(part, it, s.next)
	e.unlock()

	e.plan.sites[s.next].cells.copy(part.val, val)
	var o outcome
	e.resolve(s.next, part.val, &o)

	e.mu.Lock()
	a := e.enterLocked(part, &o)
	if a != arrivedNot {
		e.carryLocked(part, a)
		e.unlock()
		return nil
	}
	f := &feeder{wake: make(chan struct{}, 1)}
	part.more().feeder = f
	e.unlock()
	antflow.Blocking(ctx, func() error {
		select {
		case <-f.wake:
		case <-ctx.Done():
		}
		return nil
	})
	return ctx.Err()
}

// claim waits for a worker of the pool for a call that had lent it. It takes
// one in any case, also when ctx has ended: the call goes on.
func (p *pool) claim(ctx context.Context) {
	e := p.e
	e.mu.Lock()
	if p.idle() > 0 && len(p.claims) == 0 {
		p.running++
		e.unlock()
		return
	}
	c := &claim{granted: make(chan struct{}, 1)}
	p.claims = append(p.claims, c)
	e.unlock()
	antflow.Blocking(ctx, func() error { <-c.granted; return nil })
}
