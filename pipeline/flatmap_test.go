package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/testkit"
	"github.com/antflow/antflow/pipeline"
)

// repeat yields x as often as x says, as items of their own.
func repeat(_ context.Context, x int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range x {
			if !yield(10*x+i, nil) {
				return
			}
		}
	}
}

// An item becomes as many as the sequence yields, none among them; in an
// ordered run they take its place.
func TestFlatMap(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		p := pipeline.Then(pipeline.FlatMap("parts", repeat, pipeline.Workers(3)), pipeline.Stage("after", func(_ context.Context, x int) (int, error) {
			r.begin(x)
			time.Sleep(time.Duration(100-x) * time.Second)
			return x, nil
		}, pipeline.Workers(3)))
		values, errs := results(p.Run(t.Context(), e, upTo(5)))
		expect(t, "results", values, "[10 20 21 30 31 32 40 41 42 43]")
		expect(t, "errors", errs, []error(nil))
		values, _ = results(p.RunUnordered(t.Context(), e, upTo(5)))
		expect(t, "results", len(values), 10)
	})
}

// The parts have the identity of their item.
func TestPartsHaveTheItemsIdentity(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		p := pipeline.Then(pipeline.FlatMap("parts", repeat), pipeline.Stage("after", func(ctx context.Context, x int) (string, error) {
			item, _ := pipeline.ItemFrom(ctx)
			return fmt.Sprint(x, item.Key, item.ID), nil
		}))
		values, _ := results(p.Run(t.Context(), e, upTo(3), pipeline.Key(func(x int) string { return fmt.Sprint("k", x) })))
		expect(t, "items", values, "[10k11 20k22 21k22]")
	})
}

// A part goes on at once: the next stage has it while the sequence goes on.
func TestPartsGoOnAtOnce(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		parts := func(ctx context.Context, x int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range 3 {
					time.Sleep(time.Second)
					if !yield(i, nil) {
						return
					}
				}
				time.Sleep(time.Hour)
			}
		}
		got := deliveries(t, pipeline.FlatMap("parts", parts).Run(t.Context(), e, upTo(1)))
		expect(t, "results", got, "[0@1s 1@2s 2@3s]")
	})
}

// An endless sequence is pulled as there is room, and ended with the loop. It
// lends its worker while it waits: one executor worker runs all the stages.
func TestEndlessSequence(t *testing.T) {
	for _, workers := range []int{1, 4} {
		inBubble(t, workers, func(t *testing.T, e *antflow.Executor) {
			made, ended := 0, false
			parts := func(ctx context.Context, x int) iter.Seq2[int, error] {
				return func(yield func(int, error) bool) {
					defer func() { ended = true }()
					for ; yield(made, nil); made++ {
					}
					<-ctx.Done() // which ends with the run
				}
			}
			r := newRecord()
			p := join3(pipeline.FlatMap("parts", parts),
				pipeline.Stage("a", r.taking(time.Second), pipeline.Buffer(0)),
				pipeline.Stage("b", same, pipeline.Buffer(0)))
			n := 0
			for x, err := range p.Run(t.Context(), e, upTo(1), pipeline.Window(8)) {
				if x != n || err != nil {
					t.Fatal(x, n, err)
				}
				n++
				synctest.Wait()
				if made > n+8 {
					t.Fatalf("%d parts are made, %d yielded", made, n)
				}
				if n == 100 {
					break
				}
			}
			e.Close()
			if !ended {
				t.Error("the sequence goes on")
			}
		})
	}
}

// A blocked stage behind it stops the sequence; another item's parts stay in
// their bounds, too.
func TestPartsAreBounded(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		g := make(gate)
		made := 0
		parts := func(ctx context.Context, x int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range 1000 {
					made++
					if !yield(i, nil) {
						return
					}
				}
			}
		}
		p := pipeline.Then(pipeline.FlatMap("parts", parts), pipeline.Stage("gate", g.pass, pipeline.Workers(2), pipeline.Buffer(3)))
		var values []int
		done := testkit.Started(func() { values, _ = results(p.Run(t.Context(), e, upTo(2))) })
		synctest.Wait()
		if made != 6 {
			t.Errorf("%d parts are made, not 2 at work, 3 waiting and one on its way", made)
		}
		close(g)
		<-done
		expect(t, "results", len(values), 2000)
	})
}

// An error fails the item, ends the sequence, and comes after the parts before.
func TestAnErrorAmongParts(t *testing.T) {
	for _, retries := range []int{0, 3} {
		inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
			r := newRecord()
			parts := func(_ context.Context, x int) iter.Seq2[int, error] {
				return func(yield func(int, error) bool) {
					r.begin(x)
					for i := range 3 {
						if x == 1 && i == 2 {
							if yield(99, errFlaky) {
								t.Error("the sequence is to go on behind an error")
							}
							return
						}
						if !yield(10*x+i, nil) {
							return
						}
					}
				}
			}
			p := pipeline.FlatMap("parts", parts, antflow.Retries(retries))
			var got []string
			for x, err := range p.Run(t.Context(), e, upTo(3)) {
				var item *pipeline.ItemError
				if errors.As(err, &item) {
					if x != 0 || item.Item.ID != 1 || item.Stage != "parts" || !errors.Is(err, errFlaky) || item.Attempts != 1 {
						t.Error(x, err)
					}
					got = append(got, "error")
					continue
				}
				got = append(got, fmt.Sprint(x))
			}
			expect(t, "results", got, "[0 1 2 10 11 error 20 21 22]")
			expect(t, "calls", r, "[0:[0s] 1:[0s] 2:[0s]]")
		})
	}
}

// A call that has yielded nothing is retried as any.
func TestASequenceIsRetriedWhileItIsEmpty(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		r := newRecord()
		parts := func(_ context.Context, x int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				switch r.begin(x) {
				case 1, 2:
					yield(0, errFlaky)
				case 3:
					_ = yield(1, nil) && yield(2, nil) && yield(0, errFlaky)
				default:
					t.Error("retried after parts went on")
				}
			}
		}
		p := pipeline.FlatMap("parts", parts, antflow.Retries(9), antflow.RetryDelay(time.Second), antflow.RetryIf(func(error) bool { return true }))
		values, errs := results(p.Run(t.Context(), e, upTo(1)))
		expect(t, "results", values, "[1 2]")
		expect(t, "calls", r, "[0:[0s 1s 3s]]")
		var item *pipeline.ItemError
		if len(errs) != 1 || !errors.As(errs[0], &item) || item.Attempts != 3 || !errors.Is(errs[0], errFlaky) {
			t.Error(errs)
		}
	})
}

// So do a panic of the function, one of its sequence, and no sequence at all.
func TestPanicsOfASequence(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, e *antflow.Executor) {
		parts := func(_ context.Context, x int) iter.Seq2[int, error] {
			switch x {
			case 0:
				panic("call")
			case 1:
				return nil
			}
			return func(yield func(int, error) bool) {
				yield(x, nil)
				if x == 2 {
					panic("sequence")
				}
			}
		}
		for _, retries := range []int{0, 2} {
			values, errs := results(pipeline.FlatMap("parts", parts, antflow.Retries(retries)).Run(t.Context(), e, upTo(4)))
			expect(t, "results", values, "[2 3]")
			if len(errs) != 3 {
				t.Error(errs)
			}
			for _, err := range errs {
				var p *antflow.PanicError
				if !errors.As(err, &p) {
					t.Error(err)
				}
			}
		}
	})
}

// Two in a row multiply, with any window.
func TestFlatMapsInARow(t *testing.T) {
	double := func(_ context.Context, x int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) { _ = yield(2*x, nil) && yield(2*x+1, nil) }
	}
	for _, window := range []int{1, 2, 50} {
		for _, workers := range []int{1, 2} {
			inBubble(t, workers, func(t *testing.T, e *antflow.Executor) {
				p := pipeline.Then(join3(pipeline.FlatMap("a", double, pipeline.Workers(workers), pipeline.Buffer(0)), pipeline.FlatMap("b", double), pipeline.FlatMap("c", double)), pipeline.Stage("d", same))
				n := 0
				for x, err := range p.Run(t.Context(), e, upTo(20), pipeline.Window(window)) {
					if x != n || err != nil {
						t.Fatal(x, n, err)
					}
					n++
				}
				expect(t, "results", n, 160)
			})
		}
	}
}

// A call that was given a place for a part, and then has no use for it since its
// time is over, leaves it to the next one.
func TestAPlaceForAPartIsGivenBack(t *testing.T) {
	inBubble(t, 8, func(t *testing.T, e *antflow.Executor) {
		start := time.Now()
		const first, never, late, other = 0, 1, 2, 3
		arrive := pipeline.Stage("arrive", func(ctx context.Context, x int) (int, error) {
			return x, testkit.Sleep(ctx, map[int]time.Duration{first: seconds(20), never: time.Hour, other: seconds(1)}[x])
		}, pipeline.Workers(4))
		emitted := make(map[int]time.Duration)
		many := pipeline.FlatMap("many", func(_ context.Context, x int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				switch x {
				case first: // has the only worker while the place is given to late
					time.Sleep(seconds(20))
				case late:
					_ = yield(1, nil) && yield(2, nil) && yield(3, nil)
				case other:
					if yield(4, nil) {
						emitted[x] = time.Since(start)
					}
				}
			}
		}, antflow.Timeout(seconds(30)))
		skip := pipeline.Filter("skip", func(ctx context.Context, x int) (bool, error) {
			return false, testkit.Sleep(ctx, map[int]time.Duration{1: seconds(25)}[x]+max(0, time.Duration(x-1))*time.Hour)
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := testkit.Started(func() {
			results(pipeline.Then(pipeline.Then(arrive, many), skip).Run(ctx, e, upTo(4), pipeline.Window(4)))
		})
		runUntil(start, seconds(50))
		expect(t, "parts at", emitted, "map[3:40s]")
		cancel()
		<-done
	})
}
