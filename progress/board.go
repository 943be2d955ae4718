package progress

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// A board is all displays of one output, and the goroutine that shows them. It
// exists while there are any.
type board struct {
	out      output
	animated bool
	colors   palette
	restore  func() // the terminal

	users int // displays and who is about to add one; guarded by boards.mu

	wake chan struct{} // has a place: look at the displays now
	quit chan struct{}
	done chan struct{} // closed when the goroutine is over

	// mu is held while something is written. It guards what follows. No foreign
	// code but the output's Write is called under it.
	mu       sync.Mutex
	displays []*display
	screen   screen
	broken   bool         // the output doesn't take anything
	partial  []*logWriter // that have a part of a line
	over     bool         // there will be no more displays
}

// boards are those of the process: a terminal is one, whoever shows something
// there. mu is held for moments only; it may be taken with a logWriter's mutex
// held, and no other one is taken under it.
var boards struct {
	mu   sync.Mutex
	list []*board
}

// boardOf returns the board of an output, if it has one.
func boardOf(out output) *board {
	boards.mu.Lock()
	defer boards.mu.Unlock()
	return findLocked(out)
}

func findLocked(out output) *board {
	for _, b := range boards.list {
		if b.out.same(out) {
			return b
		}
	}
	return nil
}

// join returns the board of an output, for a display; leave has to follow.
func join(out output) *board {
	boards.mu.Lock()
	defer boards.mu.Unlock()
	b := findLocked(out)
	if b == nil {
		b = &board{
			out:     out,
			colors:  colored(),
			restore: func() {},
			screen:  screen{rigid: !reflows()},
			wake:    make(chan struct{}, 1),
			quit:    make(chan struct{}),
			done:    make(chan struct{}),
		}
		if out.animated() {
			b.restore, b.animated = understand(out)
		}
		boards.list = append(boards.list, b)
		go b.run()
	}
	b.users++
	return b
}

// leave ends what join began. The last one waits for the goroutine.
func (b *board) leave() {
	boards.mu.Lock()
	b.users--
	last := b.users == 0
	if last {
		boards.list = slices.DeleteFunc(boards.list, func(other *board) bool { return other == b })
		b.restore() // before the next board of this terminal asks for it
	}
	boards.mu.Unlock()
	if !last {
		return
	}
	close(b.quit)
	<-b.done
	b.mu.Lock()
	partial := b.partial
	b.partial, b.over = nil, true
	b.mu.Unlock()
	for _, l := range partial {
		l.flush()
	}
}

// run shows the displays, each when it is due.
func (b *board) run() {
	defer close(b.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next, ok := b.tick(); ok {
			timer.Reset(time.Until(next))
		}
		select {
		case <-timer.C:
		case <-b.wake:
		case <-b.quit:
			return
		}
	}
}

// tick shows what is due, and returns when the next display is; false if there is
// none.
func (b *board) tick() (next time.Time, ok bool) {
	b.mu.Lock()
	displays := slices.Clone(b.displays)
	b.mu.Unlock()
	now := time.Now()
	var due []*display
	for _, d := range displays {
		if !d.next.After(now) {
			d.look(now) // not under mu, since it may call foreign code
			if !b.animated && !d.regular {
				d.step = min(2*d.step, longestStep)
			}
			d.next = now.Add(d.step)
			due = append(due, d)
		}
		if !ok || d.next.Before(next) {
			next, ok = d.next, true
		}
	}
	if len(due) == 0 {
		return next, ok
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.animated {
		b.showLocked()
		return next, ok
	}
	for _, d := range due {
		if slices.Contains(b.displays, d) { // it is not over
			v := d.shown()
			b.writeLocked(v.line() + "\n")
		}
	}
	return next, ok
}

// add shows a display for the first time; on a terminal this is at once.
func (b *board) add(d *display) {
	b.mu.Lock()
	b.displays = append(b.displays, d)
	if b.animated {
		b.showLocked()
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default: // it is going to look anyway
	}
}

// remove takes a display away that has looked for the last time, and leaves its
// summary.
func (b *board) remove(d *display) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.displays = slices.DeleteFunc(b.displays, func(other *display) bool { return other == d })
	last := d.shown()
	if !b.animated {
		b.writeLocked(last.summary(0) + "\n")
		return
	}
	width, height := b.size()
	b.writeLocked(b.screen.clear(width))
	lines := []string{last.summary(width - 1)}
	last.tables = slices.DeleteFunc(last.tables, func(t table) bool { return t.passing })
	lines = append(lines, last.rows(width-1, height-2, b.colors)...)
	b.writeLocked(strings.Join(lines, nextLine) + nextLine)
	b.showLocked()
}

// showLocked writes a frame: the latest views of all displays.
func (b *board) showLocked() {
	if len(b.displays) == 0 {
		return
	}
	width, height := b.size()
	lines := b.layoutLocked(width-1, height-1)
	b.writeLocked(b.screen.show(lines, width))
}

// layoutLocked divides the lines there are among the displays, in the order in
// which they began.
func (b *board) layoutLocked(width, height int) (lines []string) {
	views := make([]view, len(b.displays))
	needs := make([]int, len(views))
	for i, d := range b.displays {
		views[i] = d.shown()
		needs[i] = views[i].height()
	}
	room, hidden := height, 0
	if len(views) > height {
		room = height - 1
		hidden = len(views) - room
	}
	for i, n := range share(room, needs) {
		if n > 0 {
			lines = append(lines, views[i].lines(width, n, b.colors)...)
		}
	}
	if hidden > 0 {
		lines = append(lines, b.colors.text(dim, cut("… "+count(hidden)+" more displays", width)))
	}
	return lines
}

// size is that of the terminal, or what many have where it tells nothing. A
// frame has a column less, and a line less.
func (b *board) size() (width, height int) {
	width, height = b.out.size()
	if width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	return max(width, 2), max(height, 2)
}

func (b *board) writeLocked(text string) {
	if text == "" || b.broken {
		return
	}
	if _, err := b.out.w.Write([]byte(text)); err != nil {
		b.broken = true // such as a terminal that is gone; there is nobody to tell
	}
}
