package progress

import (
	"sync"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/pipeline"
)

const (
	leastInterval = 100 * time.Millisecond
	frameInterval = 200 * time.Millisecond
	firstStep     = time.Second // between plain lines
	longestStep   = time.Minute
)

// A display shows one thing. What step and next say is its board's goroutine's
// own once it was added.
type display struct {
	title   string
	level   Level
	total   uint64
	fixed   bool // the total was given
	start   time.Time
	step    time.Duration
	regular bool // the steps don't grow
	next    time.Time

	// mu guards the sources, which it is held for to look at, and what follows
	// from that.
	mu     sync.Mutex
	main   source
	more   []source
	rate   rate
	growth growth

	viewMu sync.Mutex
	view   view
}

// open shows a display of main, with the rows of more, until stop is called.
func open(c *config, main opener) (stop func()) {
	b := join(c.out)
	now := time.Now()
	d := &display{title: c.title, level: c.level, total: c.total, fixed: c.totalSet, start: now, regular: c.interval > 0}
	if !b.animated {
		d.level = Compact // nothing else is ever shown, or paid for
	}
	switch {
	case d.regular:
		d.step = c.interval
	case b.animated:
		d.step = frameInterval
	default:
		d.step = firstStep
	}
	d.next = now.Add(d.step)
	d.main = main(d.level)
	if d.level > Compact {
		for _, more := range c.more {
			d.more = append(d.more, more(d.level))
		}
	}
	d.look(now)
	b.add(d)
	return sync.OnceFunc(func() {
		d.look(time.Now())
		d.close()
		b.remove(d)
		b.leave()
	})
}

func (d *display) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.main.close()
	for _, s := range d.more {
		s.close()
	}
}

// look makes the view of this instant.
func (d *display) look(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := view{title: d.title, elapsed: now.Sub(d.start)}
	v.figures, v.tables = d.main.look(d.level)
	for _, s := range d.more {
		_, tables := s.look(d.level)
		v.tables = append(v.tables, tables...)
	}
	grown := d.growth.over(now, v.total, v.done)
	v.known = d.fixed || v.total > 0 && (v.final || grown)
	if d.fixed {
		v.total = d.total
	}
	d.rate.add(now, v.done)
	v.rate = d.rate.perSecond()
	if v.known && v.done < v.total {
		v.eta, v.hasETA = d.rate.eta(v.total - v.done)
	}
	d.viewMu.Lock()
	d.view = v
	d.viewMu.Unlock()
}

// shown is the latest view.
func (d *display) shown() view {
	d.viewMu.Lock()
	defer d.viewMu.Unlock()
	return d.view
}

// Show shows the tasks of an executor until stop is called: those that have not
// settled yet, and all that come. It blocks no longer than the terminal does for a
// frame. It neither keeps the executor from being shut down, nor ends with it.
//
// stop looks for the last time, leaves a summary, and returns when nothing more is
// going to be written; it, too, blocks as long as the output does. It may be
// called again, from anywhere, and is made for defer. A nil e and a nil option
// panic.
func Show(e *antflow.Executor, opts ...Option) (stop func()) {
	must(e != nil, "Show: the executor must not be nil")
	c := configOf("Show", opts)
	if c.title == "" {
		c.title = clean(e.Snapshot().Executor)
	}
	return open(c, openExecutor(e))
}

// ShowPipeline is [Show] for the run of a pipeline that m looks into, now or
// later: its inputs, and the rows of its stages. A nil m and a nil option panic.
func ShowPipeline(m *pipeline.Monitor, opts ...Option) (stop func()) {
	must(m != nil, "ShowPipeline: the monitor must not be nil")
	return open(configOf("ShowPipeline", opts), openMonitor(m))
}
