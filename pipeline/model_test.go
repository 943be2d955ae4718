package pipeline_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

var oneSeed = flag.Uint64("seed", 0, "of the only graph to be tested")

// A value is what random pipelines carry: the numbers of the inputs that it
// comes of, in order, each with the path that it took.
type value []string

type flow = pipeline.Pipeline[value, value]

// A graph is a random pipeline and the model of what it does to a sequence of
// values in order.
type graph struct {
	p     flow
	model func([]value) []value // in an ordered run
	text  string
}

// A builder makes graphs. Its stages sleep, so that they finish out of order,
// and count how many calls run at a time.
type builder struct {
	rnd    *rand.Rand
	names  int
	gather bool // batches are allowed
	t      *testing.T

	sem     antflow.Semaphore // shared by stages, with so many permits
	permits int64
	holders atomic.Int64
}

func newBuilder(t *testing.T, rnd *rand.Rand, gather bool) *builder {
	b := &builder{rnd: rnd, gather: gather, t: t, permits: 1 + rnd.Int64N(2)}
	b.sem = antflow.NewSemaphore(b.permits)
	return b
}

func (b *builder) name() string {
	b.names++
	return fmt.Sprintf("s%d", b.names)
}

func appended(v value, s string) value {
	w := slices.Clone(v)
	for i := range w {
		w[i] += s
	}
	return w
}

// stageOptions are some options, and a function that sleeps as a stage with them
// does.
func (b *builder) stageOptions() ([]pipeline.StageOption, func(context.Context)) {
	workers := 1 + b.rnd.IntN(4)
	opts := []pipeline.StageOption{pipeline.Workers(workers)}
	if b.rnd.IntN(2) == 0 {
		opts = append(opts, pipeline.Buffer(b.rnd.IntN(4)))
	}
	if b.rnd.IntN(4) == 0 {
		opts = append(opts, pipeline.InOrder())
	}
	if b.rnd.IntN(6) == 0 {
		opts = append(opts, pipeline.Adaptive(1, workers))
	}
	permit := b.rnd.IntN(5) == 0
	if permit {
		opts = append(opts, antflow.WithSemaphore(b.sem))
	}
	return opts, b.sleeper(workers, permit)
}

func (b *builder) sleeper(workers int, permit bool) func(context.Context) {
	delay := time.Duration(b.rnd.IntN(5)) * time.Millisecond
	seed := b.rnd.Uint64()
	var running atomic.Int64
	var calls atomic.Uint64
	return func(context.Context) {
		if n := running.Add(1); n > int64(workers) {
			b.t.Errorf("%d calls of a stage with %d workers", n, workers)
		}
		if permit {
			if n := b.holders.Add(1); n > b.permits {
				b.t.Errorf("%d calls with %d permits", n, b.permits)
			}
			defer b.holders.Add(-1)
		}
		if delay > 0 {
			n := calls.Add(1)
			time.Sleep(delay * time.Duration((seed+n*2654435761)>>7%4))
		}
		running.Add(-1)
	}
}

func each(fn func(value) []value) func([]value) []value {
	return func(in []value) (out []value) {
		for _, v := range in {
			out = append(out, fn(v)...)
		}
		return out
	}
}

func (b *builder) stage() graph {
	name := b.name()
	opts, sleep := b.stageOptions()
	flaky := b.rnd.IntN(3) == 0
	if flaky {
		opts = append(opts, antflow.Retries(50), antflow.RetryDelay(time.Millisecond))
	}
	var tries atomic.Int64
	p := pipeline.Stage(name, func(ctx context.Context, v value) (value, error) {
		sleep(ctx)
		if flaky && tries.Add(1)%3 == 0 {
			return nil, errors.New("flaky")
		}
		return appended(v, "."+name), nil
	}, opts...)
	return graph{p, each(func(v value) []value { return []value{appended(v, "."+name)} }), name}
}

func (b *builder) filter() graph {
	name := b.name()
	opts, sleep := b.stageOptions()
	keep := func(v value) bool { return len(v) == 0 || (len(v[0])+int(v[0][0]))%3 != 0 }
	p := pipeline.Filter(name, func(ctx context.Context, v value) (bool, error) {
		sleep(ctx)
		return keep(v), nil
	}, opts...)
	return graph{p, each(func(v value) []value {
		if keep(v) {
			return []value{v}
		}
		return nil
	}), "filter(" + name + ")"}
}

func (b *builder) flatMap() graph {
	name := b.name()
	opts, sleep := b.stageOptions()
	n := b.rnd.IntN(4) << (b.rnd.IntN(3) * b.rnd.IntN(2)) // up to 12
	parts := func(v value) (out []value) {
		for i := range n {
			out = append(out, appended(v, fmt.Sprintf("/%d", i)))
		}
		return out
	}
	flaky := b.rnd.IntN(3) == 0
	if flaky {
		opts = append(opts, antflow.Retries(50), antflow.RetryDelay(time.Millisecond))
	}
	var tries atomic.Int64
	p := pipeline.FlatMap(name, func(ctx context.Context, v value) iter.Seq2[value, error] {
		sleep(ctx)
		return func(yield func(value, error) bool) {
			if flaky && tries.Add(1)%3 == 0 {
				yield(nil, errors.New("flaky"))
				return
			}
			for i, w := range parts(v) {
				if i > 0 {
					sleep(ctx)
				}
				if !yield(w, nil) {
					return
				}
			}
		}
	}, opts...)
	return graph{p, each(parts), fmt.Sprintf("flatMap(%s,%d)", name, n)}
}

func (b *builder) then(depth int) graph {
	x, y := b.graph(depth-1), b.graph(depth-1)
	return graph{pipeline.Then(x.p, y.p), func(in []value) []value { return y.model(x.model(in)) }, x.text + " → " + y.text}
}

func (b *builder) route(depth int) graph {
	gather := b.gather
	b.gather = false // the order behind it would depend on when it is full
	x, y := b.graph(depth-1), b.graph(depth-1)
	b.gather = gather
	takes := func(v value) bool { return len(v) > 0 && v[0][len(v[0])-1]%2 == 0 }
	p := pipeline.Route(pipeline.When(takes, x.p), pipeline.Otherwise(y.p))
	return graph{p, each(func(v value) []value {
		if takes(v) {
			return x.model([]value{v})
		}
		return y.model([]value{v})
	}), "(" + x.text + " | " + y.text + ")"}
}

func (b *builder) tee(depth int) graph {
	gather := b.gather
	b.gather = false
	x, y := b.graph(depth-1), b.graph(depth-1)
	b.gather = gather
	p := pipeline.Tee(x.p, y.p)
	return graph{p, each(func(v value) []value {
		return append(x.model([]value{v}), y.model([]value{v})...)
	}), "(" + x.text + " & " + y.text + ")"}
}

// batch gathers, joins, and may take apart again.
func (b *builder) batch() graph {
	size := 1 + b.rnd.IntN(5)
	join := func(vs []value) value { return slices.Concat(vs...) }
	batch := pipeline.Batch[value](size, 0)
	if b.rnd.IntN(2) == 0 {
		name := b.name()
		p := pipeline.Then(batch, pipeline.Stage(name, func(_ context.Context, vs []value) (value, error) { return join(vs), nil }, pipeline.Workers(2)))
		return graph{p, func(in []value) (out []value) {
			for c := range slices.Chunk(in, size) {
				out = append(out, join(c))
			}
			return out
		}, fmt.Sprintf("batch(%d)", size)}
	}
	return graph{pipeline.Then(batch, pipeline.Unbatch[value]()), func(in []value) []value { return in }, fmt.Sprintf("unbatch(%d)", size)}
}

func (b *builder) reduce() graph {
	name := b.name()
	p := pipeline.Reduce(name, func() value { return value{} }, func(_ context.Context, acc, v value) (value, error) {
		return append(acc, v...), nil
	})
	return graph{p, func(in []value) []value { return []value{slices.Concat(append([]value{{}}, in...)...)} }, "reduce"}
}

func (b *builder) graph(depth int) graph {
	if depth > 0 {
		switch b.rnd.IntN(4) {
		case 0, 1:
			return b.then(depth)
		case 2:
			return b.route(depth)
		case 3:
			return b.tee(depth)
		}
	}
	switch n := b.rnd.IntN(12); {
	case n < 5:
		return b.stage()
	case n < 6:
		return b.filter()
	case n < 8:
		return b.flatMap()
	case n < 9:
		return graph{pipeline.Pass[value](), func(in []value) []value { return in }, "pass"}
	case n < 11 && b.gather:
		return b.batch()
	case n < 12 && b.gather && b.rnd.IntN(3) == 0:
		return b.reduce()
	}
	return b.stage()
}

func render(vs []value) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = fmt.Sprint([]string(v))
	}
	return out
}

// Random pipelines give what the model gives: in order in ordered runs, in any
// order in others, on any executor, with any window, and nothing is left.
func TestRandomGraphs(t *testing.T) {
	seeds := 150
	if testing.Short() {
		seeds = 40
	}
	base := uint64(time.Now().UnixNano())
	if *oneSeed != 0 {
		base, seeds = *oneSeed, 1
	}
	for i := range uint64(seeds) {
		seed := base + i
		if !testGraph(t, seed) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func testGraph(t *testing.T, seed uint64) bool {
	return t.Run("", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			ordered := rnd.IntN(3) > 0
			b := newBuilder(t, rnd, ordered)
			g := b.graph(1 + rnd.IntN(4))
			n := rnd.IntN(60)
			in := make([]value, n)
			for i := range in {
				in[i] = value{fmt.Sprintf("%02d", i)}
			}
			want := render(g.model(in))
			e := antflow.New(1 + rnd.IntN(6))
			window := 1 + rnd.IntN(20)
			text := fmt.Sprintf("seed %d, %d inputs, window %d, ordered %v: %s", seed, n, window, ordered, g.text)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			pulled, yielded := 0, 0
			source := func(yield func(value) bool) {
				for _, v := range in {
					pulled++
					if !yield(v) {
						return
					}
				}
			}
			run := g.p.RunUnordered
			if ordered {
				run = g.p.Run
			}
			var got []value
			var m pipeline.Monitor
			opts := []pipeline.RunOption{pipeline.Window(window), pipeline.WithMonitor(&m)}
			if rnd.IntN(2) == 0 {
				opts = append(opts, pipeline.Loads(1+rnd.IntN(3)))
			}
			look := rnd.IntN(3) > 0
			for v, err := range run(ctx, e, source, opts...) {
				if err != nil {
					t.Fatalf("%v\n%s\n%s", err, text, m.Dump())
				}
				got = append(got, v)
				if !look {
				} else if err := m.CheckInvariants(); err != nil {
					t.Fatalf("%v\n%s\n%s", err, text, m.Dump())
				}
				yielded++
			}
			out := render(got)
			if !ordered {
				slices.Sort(out)
				slices.Sort(want)
			}
			if !slices.Equal(out, want) {
				t.Errorf("%s\ngot  %v\nwant %v", text, out, want)
			}
			e.Close()
		})
	})
}
