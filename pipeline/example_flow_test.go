package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

func ExampleFilter() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	even := pipeline.Filter("even", func(_ context.Context, n int) (bool, error) {
		return n%2 == 0, nil
	}, pipeline.Workers(4))
	for n, err := range even.Run(ctx, e, slices.Values([]int{1, 2, 3, 4})) {
		fmt.Println(n, err)
	}
	// Output:
	// 2 <nil>
	// 4 <nil>
}

func ExampleFlatMap() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// A listing that comes in pages. Its entries go on while the next page is
	// on its way.
	list := pipeline.FlatMap("list", func(ctx context.Context, bucket string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for page := range 3 {
				if bucket == "broken" && page == 1 {
					yield("", errors.New("access denied"))
					return
				}
				if !yield(fmt.Sprint(bucket, "/", page), nil) {
					return
				}
			}
		}
	})
	for name, err := range list.Run(ctx, e, slices.Values([]string{"logs", "broken"})) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(name)
	}
	// Output:
	// logs/0
	// logs/1
	// logs/2
	// broken/0
	// antflow: stage "list": item 1: access denied
}

func ExampleBatch() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	insert := pipeline.Stage("insert", func(ctx context.Context, rows []string) (int, error) {
		fmt.Println("INSERT", rows)
		return len(rows), nil
	})
	p := pipeline.Then(pipeline.Batch[string](2, 0), insert) // of two, however long that takes
	for range p.Run(ctx, e, slices.Values([]string{"a", "b", "c", "d", "e"})) {
	}
	// Output:
	// INSERT [a b]
	// INSERT [c d]
	// INSERT [e]
}

func ExampleUnbatch() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	// The service translates many texts in one call. Behind Unbatch they are
	// what they were, one by one: each with its key, or its future.
	translate := pipeline.Stage("translate", func(ctx context.Context, texts []string) ([]string, error) {
		for i, text := range texts {
			texts[i] = strings.ToUpper(text)
		}
		return texts, nil
	})
	p := pipeline.Then(pipeline.Then(pipeline.Batch[string](3, 0), translate), pipeline.Unbatch[string]())
	key := pipeline.Key(func(text string) string { return text })
	for r, err := range pipeline.Results(p).Run(ctx, e, slices.Values([]string{"one", "two"}), key) {
		fmt.Println(r.Item, r.Value, err)
	}
	// Output:
	// item "one" ONE <nil>
	// item "two" TWO <nil>
}

func ExampleReduce() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	longest := pipeline.Reduce("longest",
		func() string { return "" },
		func(_ context.Context, best, word string) (string, error) {
			if len(word) > len(best) {
				return word, nil
			}
			return best, nil
		})
	for word, err := range longest.Run(ctx, e, slices.Values([]string{"ant", "termite", "bee"})) {
		fmt.Println(word, err)
	}
	// Output: termite <nil>
}

func ExampleRoute() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	decode := func(format string) pipeline.Pipeline[string, string] {
		return pipeline.Stage(format, func(_ context.Context, name string) (string, error) {
			return name + " as " + format, nil
		}, pipeline.Workers(2))
	}
	has := func(suffix string) func(string) bool {
		return func(name string) bool { return strings.HasSuffix(name, suffix) }
	}
	p := pipeline.Route(
		pipeline.When(has(".png"), decode("png")),
		pipeline.When(has(".gif"), decode("gif")),
	)
	for image, err := range p.Run(ctx, e, slices.Values([]string{"a.png", "b.gif", "c.txt"})) {
		if errors.Is(err, pipeline.ErrNoRoute) {
			fmt.Println(err)
			continue
		}
		fmt.Println(image, err)
	}
	// Output:
	// a.png as png <nil>
	// b.gif as gif <nil>
	// antflow: item 2: no case of the route takes the item
}

func ExampleCase() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	greet := func(name, text string) pipeline.Pipeline[string, string] {
		return pipeline.Stage(name, func(_ context.Context, who string) (string, error) { return text + who, nil })
	}

	// Cases are values, so a table may make them.
	var cases []pipeline.Case[string, string]
	for who, text := range map[string]string{"Anna": "Guten Tag ", "Zoé": "Bonjour "} {
		cases = append(cases, pipeline.When(func(x string) bool { return x == who }, greet("greet "+who, text)))
	}
	cases = append(cases, pipeline.Otherwise(greet("greet others", "Hello ")))

	for text, err := range pipeline.Route(cases...).Run(ctx, e, slices.Values([]string{"Zoé", "Anna", "Bob"})) {
		fmt.Println(text, err)
	}
	// Output:
	// Bonjour Zoé <nil>
	// Guten Tag Anna <nil>
	// Hello Bob <nil>
}

func ExampleWhen() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()
	say := func(name string) pipeline.Pipeline[int, string] {
		return pipeline.Stage(name, func(_ context.Context, n int) (string, error) { return fmt.Sprint(n, " is ", name), nil })
	}

	// The first case that takes an item has it.
	p := pipeline.Route(
		pipeline.When(func(n int) bool { return n < 10 }, say("small")),
		pipeline.When(func(n int) bool { return n < 100 }, say("medium")),
		pipeline.Otherwise(say("large")),
	)
	for text, err := range p.Run(ctx, e, slices.Values([]int{7, 70, 700})) {
		fmt.Println(text, err)
	}
	// Output:
	// 7 is small <nil>
	// 70 is medium <nil>
	// 700 is large <nil>
}

func ExampleOtherwise() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// Only what has capitals takes the long way.
	upper := func(s string) bool { return strings.ContainsFunc(s, unicode.IsUpper) }
	lower := pipeline.Stage("lower", func(_ context.Context, s string) (string, error) { return strings.ToLower(s), nil })
	p := pipeline.Route(
		pipeline.When(upper, lower),
		pipeline.Otherwise(pipeline.Pass[string]()),
	)
	for s, err := range p.Run(ctx, e, slices.Values([]string{"Ant", "bee"})) {
		fmt.Println(s, err)
	}
	// Output:
	// ant <nil>
	// bee <nil>
}

func ExamplePass() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// What came in, and beside it what was made of it.
	double := pipeline.Stage("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	p := pipeline.Tee(pipeline.Pass[int](), double)
	for n, err := range p.Run(ctx, e, slices.Values([]int{1, 5})) {
		fmt.Println(n, err)
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 5 <nil>
	// 10 <nil>
}

func ExampleTee() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// Each photo is shrunk to two sizes, at the same time.
	shrink := func(size string) pipeline.Pipeline[string, string] {
		return pipeline.Stage(size, func(_ context.Context, photo string) (string, error) {
			return photo + "-" + size, nil
		}, pipeline.Workers(2))
	}
	p := pipeline.Tee(shrink("small"), shrink("large"))
	for photo, err := range p.Run(ctx, e, slices.Values([]string{"cat", "dog"})) {
		fmt.Println(photo, err)
	}
	// Output:
	// cat-small <nil>
	// cat-large <nil>
	// dog-small <nil>
	// dog-large <nil>
}

func ExampleMerge() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// An endless source beside a short one: neither waits for the other.
	events := make(chan string)
	go func() {
		defer close(events)
		for _, event := range []string{"started", "stopped"} {
			events <- event
		}
	}()
	live := func(yield func(string) bool) {
		for event := range events {
			if !yield(event) {
				return
			}
		}
	}
	stored := slices.Values([]string{"installed"})

	log := pipeline.Stage("log", func(_ context.Context, event string) (string, error) { return event, nil })
	for event, err := range log.Run(ctx, e, pipeline.Merge(stored, live)) {
		fmt.Println(event, err)
	}
	// Unordered output:
	// installed <nil>
	// started <nil>
	// stopped <nil>
}

func ExampleKnown() {
	ctx := context.Background()
	e := antflow.New(4)
	defer e.Close()

	// What a former run has written down is not computed again.
	done := map[string]int{"a.txt": 17}
	lookup := func(name string) (int, bool) {
		n, ok := done[name]
		return n, ok
	}
	measure := pipeline.Stage("measure", func(_ context.Context, name string) (int, error) {
		fmt.Println("measuring", name)
		return len(name), nil
	})
	p := pipeline.Known(lookup, measure)
	for n, err := range p.Run(ctx, e, slices.Values([]string{"a.txt", "b.txt"})) {
		fmt.Println(n, err)
	}
	// Unordered output:
	// measuring b.txt
	// 17 <nil>
	// 5 <nil>
}

// What was measured out of order is written in order.
func ExampleInOrder() {
	e := antflow.New(5)
	defer e.Close()
	measure := pipeline.Stage("measure", func(_ context.Context, line string) (int, error) { return len(line), nil }, pipeline.Workers(4))
	var out strings.Builder
	write := pipeline.Stage("write", func(_ context.Context, n int) (int, error) {
		return fmt.Fprintln(&out, n)
	}, pipeline.InOrder())
	lines := slices.Values([]string{"one", "fourteen", "ten", "a"})
	for _, err := range pipeline.Then(measure, write).Run(context.Background(), e, lines) {
		if err != nil {
			fmt.Println(err)
		}
	}
	fmt.Print(out.String())
	// Output:
	// 3
	// 8
	// 3
	// 1
}
