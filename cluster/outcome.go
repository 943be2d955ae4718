package cluster

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/antflow/antflow"
)

// What becomes of a delivery: a result, another attempt, or neither, since the
// worker gives it back. Each ends with release, once.

// succeed records the result.
func (d *delivery) succeed() {
	var x extras
	x.encodedBy(d.task.codec())
	if len(d.payload) <= d.w.mostInline() {
		d.record(newResult(d.outcome(endOK), x, d.payload))
	} else {
		d.succeedLarge(x)
	}
}

// succeedLarge does so when the result is an object.
func (d *delivery) succeedLarge(x extras) {
	u := d.w.values.upload(d.task.key, d.payload)
	d.w.request(func(ctx context.Context) error {
		switch err := u.run(ctx); {
		case err == nil:
			x.Object, d.object = u.name, u.name
			d.record(newResult(d.outcome(endOK), x, nil))
		case hopeless(err):
			d.recordError(failure("the result of task %s could not be stored: %v", d.task.key, err))
		default:
			return err
		}
		return nil
	})
}

func (d *delivery) outcome(end string) outcome {
	o := outcome{end: end, attempts: d.attempts, ran: d.ran, worker: d.w.set.name}
	if d.began.IsZero() {
		o.attempts--
	} else {
		o.queued = max(d.w.clock(d.began).Sub(d.since), 0)
	}
	return o
}

// refuse records that the task fails before it starts.
func (d *delivery) refuse(err error) {
	d.w.mu.Lock()
	d.ended = true
	d.w.mu.Unlock()
	d.w.feed.freed()
	d.recordError(err)
}

// fail records the error, or has the broker try again later.
func (d *delivery) fail(err error) {
	crashed := !d.returned
	if d.err != nil {
		err = d.err
	}
	failed := d.last.Failed + 1
	var delay time.Duration
	var again bool
	if !d.began.IsZero() { // an error of a semaphore is final
		if p := guard(func() { delay, again = d.calls.settings.Again(failed, err, crashed) }); p != nil {
			err = &antflow.PanicError{Value: p, Stack: stack()}
		}
	}
	err = antflow.Unmarked(err)
	if again {
		d.retry(err, failed, delay)
		return
	}
	if failed > 1 {
		err = &antflow.RetryError{Attempts: d.attempts, Err: err}
	}
	d.recordError(err)
}

func (d *delivery) recordError(err error) {
	d.record(newResult(d.outcome(endError), extras{}, encode(d.w.registry.encode(err))))
}

// retry notes that the attempt failed, and gives the task back for later. The
// note is first: without it the broker's copy knows of no failure.
func (d *delivery) retry(err error, failed int, delay time.Duration) {
	now, rest := d.w.delays(delay)
	m := mark{
		Kind: markFailed, Attempts: d.attempts, Failed: failed, Crashed: d.last.Crashed,
		Err: d.w.registry.encode(err), Delay: max(delay, 0), Rest: rest, Ran: d.ran, Worker: d.w.set.name,
	}
	d.w.request(func(ctx context.Context) error {
		ok, noted := d.noteEnd(ctx, m)
		switch {
		case noted != nil && fateOf(noted) == refused:
			d.recordError(failure("the broker refuses the note of a failed attempt: %v: after %v", noted, err))
		case noted != nil:
			return noted
		case ok:
			d.release(nakLater(now))
		default:
			d.release("") // another worker has it by now, and goes by what that noted
		}
		return nil
	})
}

// delays is how much of a delay the broker is asked for now, and what is left of
// it: the mark that counts the failures must be there when the task comes back,
// and it is kept no longer than results.
func (w *worker) delays(delay time.Duration) (now, rest time.Duration) {
	now = min(max(delay, 0), w.keeps()/2)
	return now, max(delay, 0) - now
}

// revoke is told that the task has a result, which isn't that of this worker. The
// news may overtake the task.
func (w *worker) revoke(k string) {
	w.mu.Lock()
	d := w.held[k]
	var f *antflow.Future[struct{}]
	switch {
	case d == nil:
		w.revokedLocked(k)
	case d.result == nil:
		d.revoked = true
		f = d.future
	}
	w.mu.Unlock()
	if f != nil {
		f.Cancel()
	}
}

// revokedLocked remembers a task that isn't here, for a while: of the last ones
// that were canceled.
func (w *worker) revokedLocked(k string) {
	if len(w.revoked) >= mostRevoked {
		w.revoked, w.revokedBefore = make(map[string]bool), w.revoked
	}
	w.revoked[k] = true
}

const mostRevoked = 1 << 10 // in each of two maps

// giveBack has the broker give the task to another worker, at once.
func (d *delivery) giveBack() {
	d.w.feed.freed()
	d.giveBackLater()
}

// giveBackLater gives the task back. First it notes that nothing has crashed, so
// that who gets the task next does not count it as that; but for one that was
// delivered before and not examined here: what is noted of that is still so.
func (d *delivery) giveBackLater() {
	if d.redelivered && d.began.IsZero() && d.last.N == 0 {
		d.release(nakLater(0))
		return
	}
	m := mark{Kind: markReturned, Attempts: d.attempts, Failed: d.last.Failed, Crashed: d.last.Crashed, Worker: d.w.set.name}
	if d.began.IsZero() {
		m.Attempts--
	}
	d.w.request(func(ctx context.Context) error {
		ok, err := d.noteEnd(ctx, m)
		switch {
		case err != nil && fateOf(err) != refused:
			return err
		case err != nil || ok:
			d.release(nakLater(0))
		default:
			d.release("") // another worker has it by now
		}
		return nil
	})
}

// record publishes the result. When the broker has it, or another one, the task
// is acknowledged.
func (d *delivery) record(result []byte) {
	m := d.w.message(d.w.space.result(d.task.key), result)
	d.w.mu.Lock()
	d.result = m
	d.w.mu.Unlock()
	d.publish(m)
}

func (d *delivery) publish(m *nats.Msg) {
	if err := d.w.pub.publish(m); err != nil {
		d.w.answered(m, err)
	}
}

// answered is told what became of a published result.
func (w *worker) answered(m *nats.Msg, err error) {
	k, _ := keyOf(m.Subject)
	w.mu.Lock()
	d := w.held[k]
	if d == nil || d.result != m {
		w.mu.Unlock()
		return
	}
	switch fateOf(err) {
	case stored:
		w.mu.Unlock()
		d.acknowledge()
		return
	case existing:
		w.mu.Unlock()
		w.request(d.lost)
		return
	case refused:
		again := d.refused
		d.refused = true
		w.mu.Unlock()
		w.log.Error("antflow: the broker refuses a result", "task", k, "err", err)
		if again {
			d.release("") // not even that: another worker may try, once the lease is over
		} else {
			go d.recordError(failure("the broker refuses the result: %v", err))
		}
		return
	}
	w.againLocked(d)
	w.mu.Unlock()
	w.worry("a result is not recorded yet", err)
}

// againLocked has the result of d published again, soon.
func (w *worker) againLocked(d *delivery) {
	w.again = append(w.again, d)
	if w.retry == nil && w.ctx.Err() == nil {
		w.retry = time.AfterFunc(republishPause, w.republish)
	}
}

const republishPause = 50 * time.Millisecond

// republish publishes results again that the broker may not have.
func (w *worker) republish() {
	w.mu.Lock()
	again := w.again
	w.again, w.retry = nil, nil
	w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	for _, d := range again {
		d.publish(d.result)
	}
}

// acknowledge takes the task out of the queue: it has a result. Nobody waits for
// an answer. If this is lost, the broker gives the task to another worker, who
// looks for the result first and acknowledges it again.
func (d *delivery) acknowledge() {
	d.w.finished.Add(1)
	if d.task.Object != "" {
		d.w.io.Go(d.w.ctx, func(ctx context.Context) error {
			d.w.inputs.discard(ctx, d.task.key, d.task.Object)
			return nil
		})
	}
	d.release(ack)
}

// lost is what follows when the broker has a result of the task already: it is
// looked at, since the acknowledgement can't be taken back. If it names the object
// of this result, or is this one, only the answer got lost, and not the race.
func (d *delivery) lost(ctx context.Context) error {
	w := d.w
	m, err := last(ctx, w.results, w.space.result(d.task.key))
	if err != nil {
		return err
	}
	if m == nil {
		w.mu.Lock()
		w.againLocked(d)
		w.mu.Unlock()
		return nil
	}
	d.acknowledge()
	if d.object != "" {
		if r, _ := parseResult(m.Data); r.Object != d.object {
			w.values.discard(ctx, d.task.key, d.object)
		}
	}
	return nil
}

const (
	ack         = "+ACK"
	ackTerm     = "+TERM"
	ackProgress = "+WPI"
)

func nakLater(d time.Duration) string {
	if d <= 0 {
		return "-NAK"
	}
	return `-NAK {"delay": ` + strconv.FormatInt(int64(d), 10) + `}`
}

// release lets the delivery go, with a last word to the broker. The word is what
// the worker ends after; but when it is said, the delivery must not be held any
// more, since the broker may give the task back to this worker at once.
func (d *delivery) release(word string) {
	w := d.w
	w.mu.Lock()
	if w.held[d.task.key] == d {
		delete(w.held, d.task.key)
	}
	if w.alone == d {
		w.alone = nil
	}
	w.leaving++
	reply := d.reply
	w.mu.Unlock()
	switch word {
	case "":
	case ack:
		w.respond(reply, word)
	default: // a word that keeps the task must not come after this one, and put a lease in the place of its delay
		w.words.Lock()
		w.respond(reply, word)
		w.words.Unlock()
	}
	w.mu.Lock()
	w.leaving--
	w.idleNowLocked()
	w.mu.Unlock()
}

// idleLocked reports whether nothing is held, and all last words are said; or, if
// nobody would hear them, whether nothing runs.
func (w *worker) idleLocked() bool {
	if !w.unheard {
		return len(w.held) == 0 && w.leaving == 0
	}
	for _, d := range w.held {
		if d.running {
			return false
		}
	}
	return true
}

// idleNowLocked tells who waits for that.
func (w *worker) idleNowLocked() {
	if w.empty != nil && w.idleLocked() {
		close(w.empty)
		w.empty = nil
	}
}

func (w *worker) respond(reply, word string) {
	if err := w.nc.Publish(reply, []byte(word)); err != nil {
		w.log.Debug("antflow: not sent", "word", word, "err", err)
	}
}
