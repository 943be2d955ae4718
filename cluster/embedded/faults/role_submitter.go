package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// A submitter is a process with a client.
type submitter struct {
	o       *order
	j       *journal
	c       *cluster.Client
	task    *antflow.Task[work, string]
	next    int // number of the last future
	pending sync.WaitGroup
}

// beSubmitter submits, and waits until all futures are done.
func beSubmitter(o *order, j *journal, lines <-chan string) error {
	opts := []cluster.ClientOption{cluster.Session(o.Submit.Session)}
	for _, opt := range common(o) {
		opts = append(opts, opt)
	}
	c, err := connect(o, j, opts)
	if err != nil {
		return err
	}
	s := &submitter{o: o, j: j, c: c, task: antflow.NewTask(taskName, func(context.Context, work) (string, error) {
		panic("the task runs in the process that submitted it")
	})}
	ready()
	for _, b := range o.Submit.Batches {
		if b.Wait {
			<-lines
		}
		if err := s.batch(b); err != nil {
			return err
		}
	}
	s.pending.Wait()
	c.Detach() // Close would do; but it waits for what is checked here
	return nil
}

// connect tries again, as whatever supervises a program would.
func connect(o *order, j *journal, opts []cluster.ClientOption) (*cluster.Client, error) {
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		c, err := cluster.Connect(context.Background(), o.URL, opts...)
		if err == nil || time.Since(began) > time.Minute {
			return c, err
		}
		j.add(event{Kind: evNote, Client: o.Name, Text: fmt.Sprintf("client %s does not begin: %v", o.Name, err)})
	}
}

// batch submits some tasks.
func (s *submitter) batch(b batch) error {
	for n := b.From; n < b.To; n++ {
		s.submit(&b, b.Prefix+strconv.Itoa(n))
		if b.Pause > 0 {
			time.Sleep(b.Pause)
		}
	}
	if b.NoFlush {
		return nil
	}
	if err := s.c.Flush(context.Background()); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	s.j.add(event{Kind: evAccepted, Client: s.o.Name, Future: s.next})
	return nil
}

// submit submits a task, and has its future noted.
func (s *submitter) submit(b *batch, id string) {
	s.next++
	e := event{Kind: evSubmit, ID: id, Client: s.o.Name, Future: s.next}
	opts := []antflow.TaskOption{antflow.Retries(b.Retries), antflow.RetryDelay(b.Delay)}
	if !b.Unkeyed {
		opts = append(opts, antflow.Key(id))
		e.Broker = s.c.Session() + "." + brokerID(id)
	}
	if b.NoBlock {
		opts = append(opts, antflow.NonBlocking())
	}
	w := b.Work
	w.ID = id
	s.j.add(e)
	s.pending.Add(1)
	f := s.task.Submit(context.Background(), s.c, w, opts...)
	f.OnDone(func(f *antflow.Future[string]) {
		defer s.pending.Done()
		resolved := e
		resolved.Kind = evResolve
		resolved.End, resolved.Value = outcome(f)
		s.j.add(resolved)
	})
	if h := hash(s.o.Seed, "cancel "+id); int(h%100) < b.Cancel {
		cancel := e
		cancel.Kind = evCancel
		time.AfterFunc(span(s.o.Seed, "when "+id, 0, b.CancelIn), func() {
			s.j.add(cancel)
			f.Cancel()
		})
	}
}

// outcome is how a future ended.
func outcome(f *antflow.Future[string]) (end, string) {
	v, err := f.Result(context.Background())
	e := endError
	switch {
	case err == nil:
		return endOK, valueOf(endOK, v)
	case f.State() == antflow.StateCanceled:
		e = endCanceled
	case errors.Is(err, antflow.ErrQueueFull):
		e = endFull
	case errors.Is(err, cluster.ErrDetached):
		e = endDetached
	case errors.Is(err, cluster.ErrCrashed):
		return endError, "crashed"
	}
	return e, valueOf(e, err.Error())
}

// brokerID is the ID of a task with a key, as the cluster makes it. The checker
// has to know which stored result is of which task, also of those that never ran.
func brokerID(key string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(taskName), taskName, key))
	return "k" + base64.RawURLEncoding.EncodeToString(sum[:16])
}

// hash is a number that depends on the seed and the text.
func hash(seed uint64, text string) uint64 {
	sum := sha256.Sum256(append(binary.LittleEndian.AppendUint64(nil, seed), text...))
	return binary.LittleEndian.Uint64(sum[:])
}
