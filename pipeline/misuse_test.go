package pipeline_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

// Programmer errors panic in the caller, with a message that names the value.
func TestMisusePanics(t *testing.T) {
	ctx := context.Background()
	e := antflow.New(1)
	defer e.Close()
	a, b := pipeline.Stage("a", same), pipeline.Stage("b", same)
	otherA := pipeline.Stage("a", same)
	var zero pipeline.Pipeline[int, int]
	keep := func(context.Context, int) (bool, error) { return true, nil }
	add := func(_ context.Context, acc, x int) (int, error) { return acc + x, nil }
	initial := func() int { return 0 }
	var m pipeline.Monitor
	run := a.Start(ctx, e)
	defer run.Close()
	twice := pipeline.Tee(a, a).Start(ctx, e)
	defer twice.Close()
	reduced := pipeline.Reduce("sum", initial, add).Start(ctx, e)
	defer reduced.Close()

	for name, c := range map[string]struct {
		fn    func()
		words []string
	}{
		"Stage without a name":       {func() { pipeline.Stage("", same) }, []string{"Stage", "name"}},
		"Stage(nil)":                 {func() { pipeline.Stage[int, int]("a", nil) }, []string{"Stage", "a", "nil"}},
		"Stage with nil option":      {func() { pipeline.Stage("a", same, pipeline.Workers(1), nil) }, []string{"Stage", "nil"}},
		"Stage with nil task option": {func() { pipeline.Stage("a", same, antflow.TaskOption(nil)) }, []string{"Stage", "nil"}},
		"Filter without a name":      {func() { pipeline.Filter("", keep) }, []string{"Filter", "name"}},
		"Filter(nil)":                {func() { pipeline.Filter[int]("a", nil) }, []string{"Filter", "nil"}},
		"FlatMap without a name":     {func() { pipeline.FlatMap("", repeat) }, []string{"FlatMap", "name"}},
		"FlatMap(nil)":               {func() { pipeline.FlatMap[int, int]("a", nil) }, []string{"FlatMap", "nil"}},
		"Reduce without a name":      {func() { pipeline.Reduce("", initial, add) }, []string{"Reduce", "name"}},
		"Reduce without initial":     {func() { pipeline.Reduce("a", nil, add) }, []string{"Reduce", "nil"}},
		"Reduce without function":    {func() { pipeline.Reduce[int]("a", initial, nil) }, []string{"Reduce", "nil"}},
		"Reduce with Workers":        {func() { pipeline.Reduce("a", initial, add, pipeline.Workers(2)) }, []string{"Reduce", `"a"`, "one worker"}},
		"Batch(0)":                   {func() { pipeline.Batch[int](0, 0) }, []string{"Batch", "0"}},
		"Batch(-3)":                  {func() { pipeline.Batch[int](-3, 0) }, []string{"Batch", "-3"}},
		"Batch of a negative time":   {func() { pipeline.Batch[int](1, -time.Second) }, []string{"Batch", "-1s"}},
		"Known(nil)":                 {func() { pipeline.Known(nil, a) }, []string{"Known", "nil"}},
		"Tee()":                      {func() { pipeline.Tee[int, int]() }, []string{"Tee"}},
		"Route()":                    {func() { pipeline.Route[int, int]() }, []string{"Route"}},
		"When(nil)":                  {func() { pipeline.When(nil, a) }, []string{"When", "nil"}},
		"a zero Case":                {func() { pipeline.Route(pipeline.Case[int, int]{}) }, []string{"Route"}},
		"Merge(nil)":                 {func() { pipeline.Merge(upTo(1), nil) }, []string{"Merge", "nil"}},
		"Step without a name":        {func() { pipeline.Step("", same) }, []string{"Step", "name"}},
		"Step(nil)":                  {func() { pipeline.Step[int, int]("a", nil) }, []string{"Step", "nil"}},
		"Step with nil option":       {func() { pipeline.Step("a", same, nil) }, []string{"Step", "nil"}},
		"Chain without first":        {func() { pipeline.Chain[int, int, int](nil, same) }, []string{"Chain", "nil"}},
		"Chain without second":       {func() { pipeline.Chain[int, int, int](same, nil) }, []string{"Chain", "nil"}},

		"a stage behind itself": {func() { pipeline.Then(a, a) }, []string{`"a"`}},
		"a cycle":               {func() { pipeline.Then(pipeline.Then(a, b), a) }, []string{"after itself", "a", "b"}},
		"a cycle in a branch":   {func() { pipeline.Then(a, pipeline.Tee(b, pipeline.Then(pipeline.Pass[int](), a))) }, []string{`"a"`}},
		"a cycle across branches": {func() {
			pipeline.Then(pipeline.Route(pipeline.Otherwise(b), pipeline.Otherwise(a)), pipeline.Tee(b, b))
		}, []string{`"b"`}},
		"two of a name":            {func() { pipeline.Then(a, otherA) }, []string{`"a"`}},
		"two of a name in a Tee":   {func() { pipeline.Tee(a, otherA) }, []string{`"a"`}},
		"two of a name in a Route": {func() { pipeline.Route(pipeline.When(even, a), pipeline.Otherwise(pipeline.Then(b, otherA))) }, []string{`"a"`}},

		"zero in Then":      {func() { pipeline.Then(zero, a) }, []string{"zero", "pipeline"}},
		"zero behind":       {func() { pipeline.Then(a, zero) }, []string{"zero", "pipeline"}},
		"zero in Tee":       {func() { pipeline.Tee(a, zero) }, []string{"zero", "pipeline"}},
		"zero in Otherwise": {func() { pipeline.Route(pipeline.Otherwise(zero)) }, []string{"zero", "pipeline"}},
		"zero in When":      {func() { pipeline.Route(pipeline.When(even, zero)) }, []string{"zero", "pipeline"}},
		"zero in Known":     {func() { pipeline.Known(func(int) (int, bool) { return 0, true }, zero) }, []string{"zero", "pipeline"}},
		"zero in Results":   {func() { pipeline.Results(zero) }, []string{"zero", "pipeline"}},
		"zero.Run":          {func() { zero.Run(ctx, e, upTo(1)) }, []string{"zero", "pipeline"}},
		"zero.RunUnordered": {func() { zero.RunUnordered(ctx, e, upTo(1)) }, []string{"zero", "pipeline"}},
		"zero.Start":        {func() { zero.Start(ctx, e) }, []string{"zero", "pipeline"}},
		"zero.Stages":       {func() { zero.Stages() }, []string{"zero", "pipeline"}},
		"zero.Workers":      {func() { zero.Workers() }, []string{"zero", "pipeline"}},

		"Workers(0)":     {func() { pipeline.Workers(0) }, []string{"Workers(0)"}},
		"Buffer(-1)":     {func() { pipeline.Buffer(-1) }, []string{"Buffer(-1)"}},
		"Adaptive(0, 1)": {func() { pipeline.Adaptive(0, 1) }, []string{"Adaptive(0, 1)"}},
		"Adaptive(3, 2)": {func() { pipeline.Adaptive(3, 2) }, []string{"Adaptive(3, 2)"}},
		"OverloadIf alone": {func() {
			pipeline.Stage("a", same, pipeline.OverloadIf(func(error) bool { return true }), pipeline.Workers(2))
		}, []string{"a", "OverloadIf", "Adaptive"}},
		"OverloadIf(nil)":   {func() { pipeline.OverloadIf(nil) }, []string{"OverloadIf(nil)"}},
		"Window(0)":         {func() { pipeline.Window(0) }, []string{"Window(0)"}},
		"History(-1)":       {func() { pipeline.History(-1) }, []string{"History(-1)"}},
		"DeadLetterLimit":   {func() { pipeline.DeadLetterLimit(-1) }, []string{"DeadLetterLimit(-1)"}},
		"Key(nil)":          {func() { pipeline.Key[int](nil) }, []string{"Key(nil)"}},
		"PriorityBy(nil)":   {func() { pipeline.PriorityBy[int](nil) }, []string{"PriorityBy(nil)"}},
		"OnEvent(nil)":      {func() { pipeline.OnEvent(nil) }, []string{"OnEvent(nil)"}},
		"WithMonitor(nil)":  {func() { pipeline.WithMonitor(nil) }, []string{"WithMonitor(nil)"}},
		"Key of a type":     {func() { a.Run(ctx, e, upTo(1), pipeline.Key(func(string) string { return "" })) }, []string{"Key", "string", "int"}},
		"PriorityBy of one": {func() { a.Start(ctx, e, pipeline.PriorityBy(func(string) int { return 1 })) }, []string{"PriorityBy", "string", "int"}},

		"Run(nil ctx)":           {func() { a.Run(nilContext, e, upTo(1)) }, []string{"Run", "nil", "context"}},
		"Run(nil executor)":      {func() { a.Run(ctx, nil, upTo(1)) }, []string{"Run", "nil", "executor"}},
		"Run(nil inputs)":        {func() { a.Run(ctx, e, nil) }, []string{"Run", "nil", "inputs"}},
		"Run(nil option)":        {func() { a.Run(ctx, e, upTo(1), nil) }, []string{"Run", "nil", "Option"}},
		"RunUnordered(nil ctx)":  {func() { a.RunUnordered(nilContext, e, upTo(1)) }, []string{"RunUnordered", "nil", "context"}},
		"RunUnordered(nil opt)":  {func() { a.RunUnordered(ctx, e, upTo(1), nil) }, []string{"RunUnordered", "nil", "Option"}},
		"Start(nil ctx)":         {func() { a.Start(nilContext, e) }, []string{"Start", "nil", "context"}},
		"Start(nil executor)":    {func() { a.Start(ctx, nil) }, []string{"Start", "nil", "executor"}},
		"Start(nil option)":      {func() { a.Start(ctx, e, nil) }, []string{"Start", "nil", "Option"}},
		"Feed(nil ctx)":          {func() { run.Feed(nilContext, 1) }, []string{"Feed", "nil", "context"}},
		"Feed(nil option)":       {func() { run.Feed(ctx, 1, nil) }, []string{"Feed", "nil", "Option"}},
		"Shutdown(nil ctx)":      {func() { run.Shutdown(nilContext) }, []string{"Shutdown", "nil", "context"}},
		"FeedAt(nil ctx)":        {func() { pipeline.FeedAt(nilContext, run, "a", 1) }, []string{"FeedAt", "nil", "context"}},
		"FeedAt(nil option)":     {func() { pipeline.FeedAt(ctx, run, "a", 1, nil) }, []string{"FeedAt", "nil", "Option"}},
		"FeedAt nowhere":         {func() { pipeline.FeedAt(ctx, run, "nowhere", 1) }, []string{"FeedAt", `"nowhere"`}},
		"FeedAt several places":  {func() { pipeline.FeedAt(ctx, twice, "a", 1) }, []string{"FeedAt", `"a"`}},
		"FeedAt of another type": {func() { pipeline.FeedAt(ctx, run, "a", "text") }, []string{"FeedAt", `"a"`, "string", "int"}},

		"Resize(0)":        {func() { run.Resize("a", 0) }, []string{"Resize", `"a"`, "0"}},
		"Resize nowhere":   {func() { run.Resize("nowhere", 2) }, []string{"Resize", `"nowhere"`}},
		"Resize a Reduce":  {func() { reduced.Resize("sum", 2) }, []string{"Resize", `"sum"`}},
		"Resize of no run": {func() { m.Resize("a", 0) }, []string{"Resize", "0"}},
	} {
		t.Run(name, func(t *testing.T) { checkMessage(t, panicOf(c.fn), c.words...) })
	}
}

// The stages of a pipeline are told apart by name alone where they are one
// stage: it may be in any number of branches.
func TestAStageMayOccurOften(t *testing.T) {
	a, b := pipeline.Stage("a", same), pipeline.Stage("b", same)
	p := pipeline.Tee(pipeline.Then(a, b), a, pipeline.Route(pipeline.When(even, b), pipeline.Otherwise(pipeline.Then(a, b))))
	expect(t, "stages", p.Stages(), "[a b]")
	expect(t, "workers", p.Workers(), 2)
}

// A monitor without a run finds nothing.
func TestAMonitorWithoutARun(t *testing.T) {
	var m pipeline.Monitor
	expect(t, "what it finds", []any{m.Find(0), m.FindKey(""), m.Items(), m.ItemsIn("a"), m.Recent(), m.Failures(), m.Snapshot().Stages},
		"[[] [] [] [] [] [] []]")
}

// Panics of what the run calls beside the stages: Key and PriorityBy are called
// by the source's goroutine, and raised in the loop like its own.
func TestPanicsOfKeyAndPriority(t *testing.T) {
	for name, opt := range map[string]pipeline.RunOption{
		"Key":        pipeline.Key(func(x int) string { return fmt.Sprint(1 / (x - 2)) }),
		"PriorityBy": pipeline.PriorityBy(func(x int) int { return 1 / (x - 2) }),
	} {
		inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
			var values []int
			text := panicOf(func() {
				for x := range pipeline.Stage("a", same).Run(t.Context(), e, upTo(5), opt) {
					values = append(values, x)
				}
			})
			if text == "" {
				t.Errorf("%s: no panic", name)
			}
			expect(t, name, values, "[0 1]")
			synctest.Wait()
		})
	}
}

// iter.Pull2 makes the loop one that is left by stop.
func TestAnIteratorIsUsedByPull(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, e *antflow.Executor) {
		next, stop := iter.Pull2(pipeline.Stage("a", same).Run(t.Context(), e, upTo(endless)))
		for i := range 5 {
			if x, err, ok := next(); x != i || err != nil || !ok {
				t.Error(x, err, ok)
			}
		}
		stop()
		if _, _, ok := next(); ok {
			t.Error("a result after the end")
		}
	})
}
