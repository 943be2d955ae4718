package pipeline

import (
	"fmt"
	"strings"
)

// Dump describes the state of the run that began last.
func Dump() string {
	e := lastEngine
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "live %d roots %d made %v ready %d crew %+v closed %v failure %v over %v yielded %d starved %v stalled %d out %d waits %v unsent %d\n",
		e.live, e.roots, e.made, e.ready, e.crew, e.closed, e.failure, e.over, e.yielded.Load(), e.starved != nil, len(e.stalled), e.out.n, e.waits, len(e.unsent))
	for _, p := range e.pools {
		fmt.Fprintf(&b, "pool %s tasks %v limit %d waiting %d ready %d blocked %d pending %d running %d held %d delayed %d claims %d room %v\n",
			p.def.name, p.tasks, p.limit, p.waiting.n, p.ready.n, p.blocked.n, p.pending, p.running, p.held, p.delayed, len(p.claims), p.hasRoom())
	}
	for i, c := range e.cursors {
		fmt.Fprintf(&b, "cursor %d: %p\n", i, c)
	}
	for it := e.head; it != nil; it = it.next {
		fmt.Fprintf(&b, "item %p id %d site %d phase %d held %d reach %b made %d holder %v x %+v\n", it, it.id, it.site, it.phase, it.held, it.reach, it.made, it.holder != nil, it.x)
	}
	for i, s := range e.plan.sites {
		fmt.Fprintf(&b, "site %d kind %d next %d branches %v pool %d\n", i, s.kind, s.next, s.branches, s.pool)
	}
	return b.String()
}
