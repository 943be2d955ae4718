package clusterbench

import (
	"context"
	"fmt"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
	"github.com/antflow/antflow/cluster/embedded"
)

// openAntflow has the broker, the worker and the client in this process.
func openAntflow(ctx context.Context) (*contender, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	c, err := antflowAt(ctx, s)
	if err != nil {
		s.close()
		return nil, err
	}
	return c, nil
}

func antflowAt(ctx context.Context, s *site) (*contender, error) {
	b, err := embedded.Start(s.dir)
	if err != nil {
		return nil, err
	}
	s.onClose(func() { b.Close() })
	workerCtx, stop := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := serve(workerCtx, b.URL()); err != nil {
			panic(err) // its tasks would never end
		}
	}()
	s.onClose(func() { stop(); <-served })
	return clientAt(ctx, s, b.URL())
}

// clientAt is a contender whose worker is there already.
func clientAt(ctx context.Context, s *site, url string) (*contender, error) {
	client, err := cluster.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	s.onClose(client.Detach)
	batch := func(ctx context.Context, first, n int) error { return submitAll(ctx, client, first, n) }
	return &contender{batch: batch, close: s.close}, nil
}

func submitAll(ctx context.Context, r antflow.Runner, first, n int) error {
	futures := make([]*antflow.Future[int], n)
	for i := range futures {
		futures[i] = double.Submit(ctx, r, first+i)
	}
	t := newTally(first, n)
	for i, f := range futures {
		v, err := f.Result(ctx)
		if err != nil {
			return err
		}
		if err := t.add(first+i, v); err != nil {
			return err
		}
	}
	return nil
}

// Processes are the broker and the worker as processes of their own, while this
// one submits.
type processes struct {
	*site
	url            string
	broker, worker *child
}

func openProcesses() (*processes, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	p := &processes{site: s}
	if err := p.begin(); err != nil {
		s.close()
		return nil, err
	}
	return p, nil
}

func (p *processes) begin() (err error) {
	if p.broker, err = p.child("broker", p.dir); err != nil {
		return err
	}
	if p.url, err = p.broker.line(); err != nil {
		return fmt.Errorf("the broker: %w", err)
	}
	p.worker, err = p.child("worker", p.url)
	return err
}

func openAntflowApart(ctx context.Context) (*contender, error) {
	p, err := openProcesses()
	if err != nil {
		return nil, err
	}
	c, err := clientAt(ctx, p.site, p.url)
	if err != nil {
		p.close()
		return nil, err
	}
	return c, nil
}
