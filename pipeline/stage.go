package pipeline

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/option"
)

// A stageDef is a stage: what pipelines that contain it have in common. Stages
// are told apart by its address.
type stageDef struct {
	name       string
	taskName   string
	kind       stageKind
	inOrder    bool
	workers    int
	buffer     int // -1: the default
	adapt      *adaptive
	overloaded func(error) bool // for that
	opts       []antflow.TaskOption

	call   func(ctx context.Context, in, out any) error                // of a map
	expand func(ctx context.Context, in, out any, emit emitFunc) error // calls emit with each value in out
	fold   func() fold                                                 // makes one for a run
}

type stageKind uint8

const (
	stageMap    stageKind = iota // an item has one result
	stageExpand                  // or any number of them
	stageFold                    // all items together have one
)

// A fold is the state of a reduction in one run.
type fold interface {
	step(ctx context.Context, in any) error
	take(out any)
}

// most is how many workers the stage may ever have without being told to.
func (d *stageDef) most() int {
	if d.adapt != nil {
		return d.adapt.max
	}
	return d.workers
}

// A StageOption configures a [Stage]. Every [antflow.TaskOption] is one: it
// applies to the stage's calls, as to the attempts of a task. An
// [antflow.QueueTimeout] counts from the item's coming to the stage to its first
// call, the wait for one of the stage's workers included.
// [antflow.NonBlocking] has no meaning for a stage, which waits for room.
type StageOption interface{ option.Stage }

type stageOption func(*stageDef)

// StageOption seals [StageOption].
func (stageOption) StageOption(option.Seal) {}

// Workers is how many items a stage works on at a time; the default is 1. An
// item that waits for a retry, a permit or a rate limit has no worker. One
// that has no room in the next stage keeps its own until it has, and so does a
// call of a [FlatMap] that waits for room for a part. n below 1 panics.
func Workers(n int) StageOption {
	must(n >= 1, "Workers(%d): the number of workers must be at least 1", n)
	return stageOption(func(d *stageDef) { d.workers, d.adapt = n, nil })
}

// Buffer is how many items may wait for a stage beyond those that its idle
// workers can take; the default is as many as it has workers, and at least 64.
// While there are that many, the stages before it wait with what they have done,
// and the source is not asked for more, or waits with its next item. Items that
// come back for a retry don't count. In an ordered run a [FlatMap] takes in all
// that comes while calls of it wait for room that depends on others; then the
// [Window] is the bound. A negative n panics.
func Buffer(n int) StageOption {
	must(n >= 0, "Buffer(%d): the number of items must not be negative", n)
	return stageOption(func(d *stageDef) { d.buffer = n })
}

// InOrder lets a stage call its function for the items in the order of their
// inputs, in an ordered run: with one worker one after the other, the retries of
// one before the next, and with several so that they begin in order. It is for
// a stage that writes what others have made. An item that waits for its turn
// has no worker of the stage before; those are bounded by [Window].
func InOrder() StageOption { return stageOption(func(d *stageDef) { d.inOrder = true }) }

const defaultBuffer = 64 // at least

// Stage is the pipeline of one stage: fn is called for each item. An error
// fails the item, or is retried as the options say; [ErrSkipped] takes the
// item out without a failure. The context that fn gets carries the values of
// the one that the run was started with, or the item was fed with; it ends
// when that ends, when the item is canceled, or when the call is over. Its item
// is there by [ItemFrom]. What fn waits for through it lends the executor's
// worker to others, but not the stage's.
//
// The name is how failures, figures and [Monitor.Resize] call it; two stages of a
// pipeline must not have the same one. A stage that occurs in several branches
// of a pipeline is one, with one set of workers. An empty name, a nil fn and a
// nil option panic.
func Stage[A, B any](name string, fn func(context.Context, A) (B, error), opts ...StageOption) Pipeline[A, B] {
	must(fn != nil, "Stage(%q): the function must not be nil", name)
	d := newStage("Stage", name, stageMap, opts)
	d.call = func(ctx context.Context, in, out any) error {
		v, err := fn(ctx, *in.(*A))
		if err == nil {
			*out.(*B) = v
		}
		return err
	}
	return compose[A, B](stageNode(d, cellsOf[A]()))
}

// Filter is the pipeline of a stage that lets an item pass if keep says so.
// The others leave without a result; they are skipped, and not failures.
func Filter[T any](name string, keep func(context.Context, T) (bool, error), opts ...StageOption) Pipeline[T, T] {
	must(keep != nil, "Filter(%q): the function must not be nil", name)
	d := newStage("Filter", name, stageMap, opts)
	d.call = func(ctx context.Context, in, out any) error {
		v := *in.(*T)
		switch kept, err := keep(ctx, v); {
		case err != nil:
			return err
		case !kept:
			return ErrSkipped
		}
		*out.(*T) = v
		return nil
	}
	return compose[T, T](stageNode(d, cellsOf[T]()))
}

// FlatMap is the pipeline of a stage that makes any number of items out of
// one, as many as the sequence of fn yields; it may be endless. Each goes on at
// once, and the sequence is pulled on as there is room, in the next stage and
// in the [Window]. An error that it yields fails the item, or takes it out if it
// is [ErrSkipped], and ends the sequence; what came before has gone on.
// Therefore a call is retried only if it had yielded nothing. To have all or
// nothing, return a slice from a [Stage] and put [Unbatch] behind it.
//
// While a call waits for room it keeps its worker, so that no more calls are
// begun than the stage has [Workers]; but no slot of the executor, and no permit
// of the stage's semaphore, whose error is the item's if it can't be had again.
// In an ordered run its worker may go to the item that all wait for, and with
// that, where the calls wait for a permit, a rate limit or the executor's queue,
// to those in front of it.
func FlatMap[A, B any](name string, fn func(context.Context, A) iter.Seq2[B, error], opts ...StageOption) Pipeline[A, B] {
	must(fn != nil, "FlatMap(%q): the function must not be nil", name)
	d := newStage("FlatMap", name, stageExpand, opts)
	d.expand = func(ctx context.Context, in, out any, emit emitFunc) error {
		emitted := false
		for v, err := range fn(ctx, *in.(*A)) {
			if err == nil {
				*out.(*B) = v
				var made bool
				made, err = emit()
				emitted = emitted || made
			}
			if err != nil && emitted {
				return antflow.Permanent(err)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return compose[A, B](stageNode(d, cellsOf[A]()))
}

// Reduce is the pipeline of a stage with one worker that folds all its items
// into one result, beginning with what initial returns. The result goes on when
// no further item can come: after the end of the source, or [Run.Close]; there
// is one in any case, also without a single item. In an ordered run the items
// come in order. An item whose call fails is not in the result. The result's
// [Item] has the members that were fed, and nothing else. A nil function panics,
// and so do [Workers] above 1 and [Adaptive] ones.
func Reduce[A, R any](name string, initial func() R, fn func(ctx context.Context, acc R, x A) (R, error), opts ...StageOption) Pipeline[A, R] {
	must(initial != nil, "Reduce(%q): the initial value's function must not be nil", name)
	must(fn != nil, "Reduce(%q): the function must not be nil", name)
	d := newStage("Reduce", name, stageFold, opts)
	must(d.workers == 1 && d.adapt == nil, "Reduce(%q): a reduction has one worker", name)
	d.fold = func() fold { return &reduction[A, R]{fn: fn, acc: initial()} }
	return compose[A, R](stageNode(d, cellsOf[A]()))
}

type reduction[A, R any] struct {
	fn  func(context.Context, R, A) (R, error)
	acc R
}

func (r *reduction[A, R]) step(ctx context.Context, in any) error {
	acc, err := r.fn(ctx, r.acc, *in.(*A))
	if err == nil {
		r.acc = acc
	}
	return err
}

func (r *reduction[A, R]) take(out any) { *out.(*R) = r.acc }

func newStage(maker, name string, kind stageKind, opts []StageOption) *stageDef {
	must(name != "", "%s: the stage must have a name", maker)
	d := &stageDef{name: name, kind: kind, workers: 1, buffer: -1}
	for i, o := range opts {
		switch o := o.(type) {
		case stageOption:
			o(d)
		case antflow.TaskOption:
			d.opts = append(d.opts, o)
		default:
			must(false, "%s(%q): nil StageOption at index %d", maker, name, i)
		}
	}
	must(d.overloaded == nil || d.adapt != nil, "%s(%q): OverloadIf is for a stage with Adaptive workers", maker, name)
	if d.overloaded == nil {
		d.overloaded = overloaded
	}
	if d.taskName = antflow.SettingsOf(d.opts...).Name; d.taskName == "" {
		d.taskName = name
	}
	return d
}

func stageNode(d *stageDef, c cells) node {
	return nodeFunc(func(b *builder, next int) int {
		return b.add(site{kind: siteStage, def: d, cells: c, next: next})
	})
}

// Route is the pipeline that sends each item into the branch of the first case
// that takes it. The branches join again: their results are the results. An
// item that no case takes fails with [ErrNoRoute]; [Otherwise] takes all. The
// predicates are called one after the other by whoever brings the item, and
// should be quick; a panic of one fails the item. No case at all panics.
func Route[A, B any](cases ...Case[A, B]) Pipeline[A, B] {
	must(len(cases) > 0, "Route: there must be a case")
	nodes := make([]node, len(cases))
	takes := make([]func(A) bool, len(cases))
	for i, c := range cases {
		must(c.takes != nil, "Route: the case at index %d is a zero value", i)
		nodes[i], takes[i] = c.to, c.takes
	}
	pick := func(cell any) int {
		v := *cell.(*A)
		return slices.IndexFunc(takes, func(takes func(A) bool) bool { return takes(v) })
	}
	return compose[A, B](nodeFunc(func(b *builder, next int) int {
		return b.add(site{kind: siteRoute, cells: cellsOf[A](), pick: pick, branches: layAll(b, nodes, next)})
	}))
}

func layAll(b *builder, nodes []node, next int) []int {
	entries := make([]int, len(nodes))
	for i := range nodes {
		i = len(nodes) - 1 - i // back to front, as everything
		entries[i] = nodes[i].lay(b, next)
	}
	return entries
}

// A Case is a branch of a [Route] and the predicate of the items that take it.
type Case[A, B any] struct {
	takes func(A) bool
	to    node
}

// When is the case of the items that the predicate takes.
func When[A, B any](takes func(A) bool, to Pipeline[A, B]) Case[A, B] {
	must(takes != nil, "When: the predicate must not be nil")
	return Case[A, B]{takes, to.part("When")}
}

// Otherwise is the case of all items. It should be the last one.
func Otherwise[A, B any](to Pipeline[A, B]) Case[A, B] {
	return Case[A, B]{func(A) bool { return true }, to.part("Otherwise")}
}

// Tee is the pipeline that sends a copy of each item into every branch. The
// results of all branches are the results, in an ordered run those of one item
// in the order of the branches. Copies are plain assignments: what they point
// to they share. No branch at all panics.
func Tee[A, B any](branches ...Pipeline[A, B]) Pipeline[A, B] {
	must(len(branches) > 0, "Tee: there must be a branch")
	nodes := make([]node, len(branches))
	for i, p := range branches {
		nodes[i] = p.part("Tee")
	}
	return compose[A, B](nodeFunc(func(b *builder, next int) int {
		return b.add(site{kind: siteTee, cells: cellsOf[A](), branches: layAll(b, nodes, next)})
	}))
}

// Batch is the pipeline that gathers items until there are size of them, or
// until the first of them has waited for d, whichever comes first; a d of 0 is
// no limit. At the end what there is goes on, however few. In an ordered run
// batches are of consecutive items. A gathering holds no worker. A size below
// 1 and a negative d panic.
func Batch[T any](size int, d time.Duration) Pipeline[T, []T] {
	must(size >= 1, "Batch(%d, %v): the size must be at least 1", size, d)
	must(d >= 0, "Batch(%d, %v): the time must not be negative", size, d)
	def := &batchDef{size: size, every: d, make: func() batch { return new(sliceOf[T]) }}
	return compose[T, []T](nodeFunc(func(b *builder, next int) int {
		return b.add(site{kind: siteBatch, cells: cellsOf[T](), batch: def, next: next})
	}))
}

type batchDef struct {
	size  int
	every time.Duration
	make  func() batch
}

// A batch gathers values.
type batch interface {
	add(cell any)
	remove(i int)
	take(out any)
}

type sliceOf[T any] struct{ values []T }

func (s *sliceOf[T]) add(cell any) { s.values = append(s.values, *cell.(*T)) }
func (s *sliceOf[T]) remove(i int) { s.values = slices.Delete(s.values, i, i+1) }
func (s *sliceOf[T]) take(out any) { *out.(*[]T), s.values = s.values, nil }

// Unbatch is the pipeline that makes an item of each element of a slice. They
// are handed on as there is room. Behind a [Batch] of as many items, with
// nothing but stages in between, the elements are again the items that were
// gathered, one for one: each has its identity, its history and its future.
func Unbatch[T any]() Pipeline[[]T, T] {
	def := &unbatchDef{
		count: func(cell any) int { return len(*cell.(*[]T)) },
		part:  func(cell any, i int, out any) { *out.(*T) = (*cell.(*[]T))[i] },
	}
	return compose[[]T, T](nodeFunc(func(b *builder, next int) int {
		return b.add(site{kind: siteUnbatch, cells: cellsOf[[]T](), unbatch: def, next: next})
	}))
}

type unbatchDef struct {
	count func(cell any) int
	part  func(cell any, i int, out any)
}
