// Package progress shows in the terminal how far an executor, a map, a pipeline
// or a plain loop has come.
//
//	stop := progress.Show(e, progress.Detailed)
//	defer stop()
//
//	for page, err := range progress.Results(antflow.Map(ctx, e, urls, fetch), progress.Total(n)) {
//		...
//	}
//
// [Show] is for all tasks of an executor, [ShowPipeline] for a run of a pipeline.
// [Inputs], [Slice] and [Results] wrap a sequence, and show how many of its values
// have been through; with [WithExecutor] or [WithMonitor] the rows of who works on
// them are beneath. What is shown is a display: it begins with the call, or when
// the sequence is ranged over, and ends with stop, or with the loop.
//
// # Levels
//
// A display has one of three levels.
//
//   - [Compact] is one line: the title, a bar, how many are done and of how many,
//     the rate, the ETA, and how many failed, run and wait. What is 0 is left out,
//     and where the line is too long what matters least.
//   - [Detailed] adds a row for each task name: how many are done, failed and
//     running, retries, and the median and 95th percentile of the time of an
//     attempt. Of a pipeline it is a row for each stage, with its workers, what
//     waits for them, its rate, the mean time of an item, and which stage holds up
//     the others.
//   - [Full] adds a row for each running task, with its worker, its age and what
//     [antflow.SetStatus] said, and one for each kind of failure, with what the
//     error says. Of a pipeline it is the items that stages are working on.
//
// # Figures
//
// Done is what has come to an end, in whatever way, so a failure is in both
// counts. Of an executor it is tasks: those that had not settled when the display
// began, and all that came later. Of a pipeline it is the inputs of the run, from
// its start, of which nothing is in it any more.
//
// The total is what [Total] says. Without it, it is what was submitted or taken
// in, once that has stopped growing: it has not grown in the two seconds after some
// of it has ended, nor for much longer than it paused before; or at once when the
// executor is shut down or the run is over. As long as no total is known there is
// neither bar nor ETA. The ETA is what the
// present rate makes of what is left. The rate is smoothed: an exponential mean
// over some ten seconds, or over some twenty of what is counted where that takes
// longer.
//
// # Where it is shown
//
// A display is on standard error, or where [Output] says. On a terminal it is
// drawn anew five times a second, at the place where the cursor was. Its lines are
// cut to the width of the terminal, whatever that is at the moment, and its rows
// are folded, "… 12 more", to leave a line of the screen. Texts from outside, such
// as names and errors, are shown without what a terminal would act on: control
// characters become "�", line breaks become blanks, and what is longer than 512
// bytes is cut. There are a few colors, unless NO_COLOR is set. The cursor stays
// visible, nothing is asked of the terminal or read from it, and no signal is
// caught.
//
// Where it is no terminal, where TERM is dumb or empty, and where CI is set and
// neither 0 nor false, nothing but plain lines are written, without any control
// character: one after 1, 3, 7, 15, 31, 63 seconds and then each minute, and one
// at the end. All levels are the same there.
//
// # What else is printed
//
// What a program prints to the same terminal meanwhile has to go through a writer
// of [Log], which writes it above the displays, whole lines at a time. That holds
// for standard output, too, if it is that terminal. If it is a file or a pipe,
// nothing needs to be done: displays never write there. Without Log a text that
// is printed directly follows the display's last line; above Compact, the next
// frame is then drawn over some of it.
//
// # Several displays
//
// Displays on one terminal are one beneath the other, in the order in which they
// began, and each gets its share of the lines; the first lines come first. One
// that ends leaves its summary above the others. In a file their lines mix, so
// give each a [Title]. Two files are one output if they are the same file for the
// system, such as standard output and standard error on one terminal.
//
// # The end
//
// stop removes the display, and leaves a line that sums up: how many were done, in
// which time, how many failed. Above Compact the rows of names, stages and
// failures are left with it. The cursor is then at the start of a line. A loop
// over a wrapped sequence does the same however it ends, by a break, a return or a
// panic. A program that is killed, or exits without stop, leaves the lines of the
// last frame, and the terminal in order.
//
// An output that fails is not written to any more, and nobody is told.
//
// # Costs
//
// One goroutine for each output while something is shown there, and none after.
// At level Compact, and where plain lines are written, [antflow.Executor.Stats] is
// called for each frame, and tasks cost nothing. Above that the display observes
// the executor, see [antflow.Executor.Measure], which costs each task a little. A
// sequence costs an atomic addition for each value. No task and no loop ever waits
// for the terminal, except to begin or end a display and for what it writes to
// Log.
//
// All waiting is done with package time and channels, so a display may be shown in
// a bubble of testing/synctest, on an output of its own.
package progress
