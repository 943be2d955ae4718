package cluster

import (
	"context"
	"strconv"
	"time"

	"github.com/antflow/antflow"
)

// examine looks at what is known of a task that was delivered before, or that
// has a queue timeout, and then has it run, or not. It is the only place where a
// worker asks before it acts: the first delivery of a usual task costs no
// question.
//
// An attempt that begins here is noted, and the notes are numbered. Of two
// workers that have the task at the same time one gets the number and the other
// one lets go.
func (d *delivery) examine(ctx context.Context) error {
	w := d.w
	result, err := last(ctx, w.results, w.space.result(d.task.key))
	if err != nil {
		return err
	}
	if result != nil { // its acknowledgement was lost, or it was canceled
		w.feed.freed()
		d.acknowledge()
		return nil
	}
	if d.next == nil { // or a note was written already, and the answer lost
		if d.last, err = w.lastMark(ctx, d.task.key); err != nil {
			return err
		}
		began, refusal := d.begins()
		if refusal != nil {
			d.refuse(refusal)
			return nil
		}
		if began.Kind == markBegan && began.Crashed > 0 && began.Crashed == w.set.crashes && !d.alone() {
			w.feed.freed()
			d.release(nakLater(alonePause))
			return nil
		}
		d.next = &began
	}
	ok, err := w.note(ctx, d.task.key, *d.next)
	switch {
	case err != nil && fateOf(err) == refused:
		d.attempts = d.last.Attempts + 1 // refuse counts one less
		d.refuse(failure("the broker refuses a note of the task: %v", err))
	case err != nil:
		return err
	case !ok: // somebody else is quicker, and has it now
		w.feed.freed()
		d.release("")
	case d.next.Kind == markExpired:
		d.refuse(antflow.ErrQueueTimeout)
	case d.next.Kind == markWaits:
		w.feed.freed()
		d.release(nakLater(d.pause))
	default:
		d.last, d.attempts = *d.next, d.next.Attempts
		w.mu.Lock()
		d.noted = time.Now()
		w.mu.Unlock()
		d.start()
	}
	return nil
}

// alonePause is how long a task waits before it may try again to be the only one
// of its kind that a worker runs.
const alonePause = time.Second

// alone has d be the only task of its worker that fails when it crashes once more,
// until it is released; false: another one is. Of tasks that a worker died with
// nobody can tell which of them it died of, and since their leases are over at the
// same time they would be together again, until all of them have failed. This way
// the others survive the one. The one that waits has not begun: nothing is noted of
// it, so it is no crash if the worker dies meanwhile.
func (d *delivery) alone() bool {
	w := d.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.alone == nil {
		w.alone = d
	}
	return w.alone == d
}

// begins returns the mark of the attempt that is about to begin, or of its never
// beginning, or of what is left of its delay, or with what the task fails at
// once. The mark of a delay has the sums once more, before the one that has them
// expires. If the broker loses the word after it, the task is early, as it is when
// it loses that of any retry.
func (d *delivery) begins() (began mark, refusal error) {
	w := d.w
	began = d.last
	began.Worker, began.Err, began.Delay, began.Ran = w.set.name, nil, 0, 0
	began.N++
	if d.last.Rest > 0 {
		began.Kind = markWaits
		d.pause, began.Rest = w.delays(d.last.Rest)
		return began, nil
	}
	switch d.last.Kind {
	case markExpired:
		return began, antflow.ErrQueueTimeout
	case markBegan:
		began.Crashed++
	case "":
		if d.redelivered {
			began.Attempts, began.Crashed = 1, 1 // or it was lost on the way, nobody can tell
		}
	}
	if began.Crashed > w.set.crashes {
		d.attempts = began.Attempts + 1 // refuse counts one less
		return began, failure("%v: task %q, %d times", ErrCrashed, d.task.name, began.Crashed)
	}
	began.Kind = markBegan
	if limit := d.task.options.QueueTimeout; limit > 0 && began.Attempts == 0 && w.now().Sub(d.since) >= limit {
		began.Kind = markExpired
	} else {
		began.Attempts++
	}
	return began, nil
}

// renew notes once more that an attempt runs, before the mark that says so
// expires, and what was counted with it. While that is not answered its number may
// be taken, which whoever writes the next note has to know.
func (d *delivery) renew(ctx context.Context) error {
	w := d.w
	d.noting.Lock()
	defer d.noting.Unlock()
	w.mu.Lock()
	running := d.running
	w.mu.Unlock()
	if !running {
		return nil
	}
	m := d.last
	m.N++
	d.unsure = true
	ok, err := w.note(ctx, d.task.key, m)
	if err != nil && fateOf(err) != refused {
		return err
	}
	d.unsure = false
	if ok {
		d.last.N = m.N
	}
	return nil // if not, another worker has it by now
}

// noteEnd notes what became of the attempt; false: another worker has the task by
// now, and goes by what that noted.
func (d *delivery) noteEnd(ctx context.Context, m mark) (ok bool, err error) {
	d.noting.Lock()
	defer d.noting.Unlock()
	m.N = d.last.N + 1
	ok, err = d.w.note(ctx, d.task.key, m)
	if err == nil && !ok && d.unsure { // it may be renew that has the number
		d.unsure = false
		d.last.N++
		err = errAgain
	}
	return ok, err
}

// lastMark returns the last mark of a task; its N is 0 when there is none.
func (b *broker) lastMark(ctx context.Context, k string) (m mark, err error) {
	msg, err := last(ctx, b.results, b.space.attempt(k)+".*")
	if msg == nil || err != nil {
		return mark{}, err
	}
	m, ok := parseMark(msg.Subject, msg.Data)
	if !ok {
		b.log.Warn("antflow: a note of an attempt makes no sense", "task", k)
	}
	return m, nil
}

// note writes a mark; false: that number is taken by somebody else.
func (b *broker) note(ctx context.Context, k string, m mark) (ok bool, err error) {
	subject := b.space.attempt(k) + "." + strconv.Itoa(m.N)
	m.By = b.nonce
	data := encode(m)
	_, err = b.js.PublishMsg(ctx, b.message(subject, data))
	switch fateOf(err) {
	case stored:
		return true, nil
	case existing: // by us, perhaps, and the answer was lost
		msg, err := last(ctx, b.results, subject)
		return msg != nil && string(msg.Data) == string(data), err
	}
	return false, err
}
