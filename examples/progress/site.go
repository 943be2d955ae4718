package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/antflow/antflow"
)

type page struct{ number, kilobytes, image int }

func (p page) String() string {
	text := fmt.Sprintf("page %d: %d KB", p.number, p.kilobytes)
	if p.image > 0 {
		text += fmt.Sprintf(", with an image of %d KB", p.image)
	}
	return text
}

var errNotFound = errors.New("not found")

// download takes as long as the page's number says, whoever does it and whenever.
func download(ctx context.Context, number int) (page, error) {
	rng := rand.New(rand.NewPCG(uint64(number), 1))
	p := page{number: number, kilobytes: 1 + rng.IntN(20)}
	for kb := range p.kilobytes {
		antflow.SetStatus(ctx, fmt.Sprintf("%d of %d KB", kb, p.kilobytes))
		if err := sleep(ctx, 15*time.Millisecond); err != nil {
			return page{}, err
		}
	}
	switch info, _ := antflow.TaskFrom(ctx); {
	case number%50 == 7:
		return page{}, antflow.Permanent(fmt.Errorf("page %d: %w", number, errNotFound))
	case number%11 == 3 && info.Attempt == 1:
		return page{}, errors.New("the connection was reset")
	}
	return p, nil
}

// withImage scales the image of each third page.
func withImage(ctx context.Context, p page) (page, error) {
	if p.number%3 != 0 {
		return p, nil
	}
	antflow.SetStatus(ctx, fmt.Sprintf("the image of page %d", p.number))
	p.image = 2 * p.kilobytes
	return p, sleep(ctx, 40*time.Millisecond)
}

// A site is crawled by tasks of e.
type site struct{ e *antflow.Executor }

// fetch downloads a page, and has its image scaled by a task of its own, for
// which it waits.
func (s site) fetch(ctx context.Context, number int) (page, error) {
	p, err := download(ctx, number)
	if err != nil || p.number%3 != 0 {
		return p, err
	}
	antflow.SetStatus(ctx, "waits for the image")
	return antflow.Submit(ctx, s.e, func(ctx context.Context) (page, error) {
		return withImage(ctx, p)
	}, antflow.TaskName("scale")).Result(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
