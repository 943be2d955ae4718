package pipeline_test

import (
	"context"
	"testing"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

func BenchmarkFeedOne(b *testing.B) {
	b.ReportAllocs()
	e := antflow.New(8)
	defer e.Close()
	p := pipeline.Then(pipeline.Stage("a", inc, pipeline.Workers(8)), pipeline.Stage("b", inc, pipeline.Workers(8)))
	ctx := context.Background()
	r := p.Start(ctx, e)
	for range b.N {
		if v, err := r.Feed(ctx, 1).Result(ctx); v != 3 || err != nil {
			b.Fatal(v, err)
		}
	}
	r.Close()
}

func BenchmarkFeedMany(b *testing.B) {
	b.ReportAllocs()
	e := antflow.New(8)
	defer e.Close()
	p := pipeline.Then(pipeline.Stage("a", inc, pipeline.Workers(8)), pipeline.Stage("b", inc, pipeline.Workers(8)))
	ctx := context.Background()
	r := p.Start(ctx, e)
	fs := make([]*antflow.Future[int], 0, 1000)
	for i := 0; i < b.N; i += 1000 {
		fs = fs[:0]
		for range 1000 {
			fs = append(fs, r.Feed(ctx, 1))
		}
		for _, f := range fs {
			if v, err := f.Result(ctx); v != 3 || err != nil {
				b.Fatal(v, err)
			}
		}
	}
	r.Close()
}

func BenchmarkRetries3(b *testing.B) {
	b.ReportAllocs()
	e := antflow.New(8)
	defer e.Close()
	st := func(n string) pipeline.Pipeline[int, int] {
		return pipeline.Stage(n, inc, pipeline.Workers(8), antflow.Retries(3))
	}
	p := pipeline.Then(pipeline.Then(st("a"), st("b")), st("c"))
	for _, err := range p.Run(context.Background(), e, ints(b.N)) {
		if err != nil {
			b.Fatal(err)
		}
	}
}
