package pipeline

import (
	"fmt"

	"github.com/antflow/antflow/internal/errtext"
)

// A Pipeline takes items of type In through its stages and gives results of
// type Out. It is a value that never changes: it may be kept, composed with
// others, and run any number of times at once, by the same or by different
// executors. Its zero value is of no use and panics where it is used. Make one
// of [Stage] and the like, and compose them with [Then], [Route] or [Tee].
type Pipeline[In, Out any] struct {
	node node
	plan *plan
}

// A node is a part of a pipeline that can be laid out as sites in front of the
// site next, back to front. It returns the site where it begins.
type node interface {
	lay(b *builder, next int) int
}

type nodeFunc func(b *builder, next int) int

func (f nodeFunc) lay(b *builder, next int) int { return f(b, next) }

// compose makes a pipeline of n. Whatever is wrong with it panics here, in
// the call that composed it.
func compose[In, Out any](n node) Pipeline[In, Out] {
	return Pipeline[In, Out]{node: n, plan: lay(n, cellsOf[Out]())}
}

// part returns the node of p for a larger pipeline.
func (p Pipeline[In, Out]) part(where string) node {
	must(p.node != nil, "%s: the pipeline is a zero value", where)
	return p.node
}

// Then is first and then second: each result of first is an item of second.
// Nothing happens yet. A stage may be part of both as long as no item could
// come to it twice; else it panics, naming the stage.
func Then[A, B, C any](first Pipeline[A, B], second Pipeline[B, C]) Pipeline[A, C] {
	a, b := first.part("Then"), second.part("Then")
	return compose[A, C](nodeFunc(func(bd *builder, next int) int { return a.lay(bd, b.lay(bd, next)) }))
}

// Pass is the pipeline without a stage: each item is its own result. It is
// the branch of a [Route] or [Tee] that leaves items as they are.
func Pass[T any]() Pipeline[T, T] {
	return compose[T, T](nodeFunc(func(_ *builder, next int) int { return next }))
}

// Stages returns the names of the pipeline's stages, those upstream first.
func (p Pipeline[In, Out]) Stages() []string {
	p.part("Stages")
	names := make([]string, len(p.plan.pools))
	for i, d := range p.plan.pools {
		names[i] = d.name
	}
	return names
}

// Workers returns the sum of the workers of all stages: an executor with that
// many lets every stage have its own. With fewer they share what there is, and
// the stages downstream come first.
func (p Pipeline[In, Out]) Workers() int {
	p.part("Workers")
	return p.plan.workers()
}

// must panics with the package's prefix when the caller broke a rule of the
// API; the message names the value.
func must(ok bool, format string, args ...any) {
	if !ok {
		panic(errtext.Prefix + "pipeline: " + fmt.Sprintf(format, args...))
	}
}
