// Package bench measures antflow beside its peers: on the same work, in one
// process, taking turns.
//
// [Rows] is the one table of what is measured. The benchmarks of this module
// run it under go test, and the command in cmd/compare prints how the
// contenders relate to one another:
//
//	go test -bench=. ./bench
//	go run ./bench/cmd/compare
//
// A new row is a function that returns a [Row], and a line in Rows. Most rows
// are timed: a [Case] opens its pool and runs n operations. Where time for an
// operation isn't what matters, a case has a probe, which returns any number
// of values with units of their own.
//
// Each contender is used as its documentation tells a user to, with its pool
// sized and kept where it can be. Nobody is taken at his word: tasks with a
// result have the sum of the results checked in each run, and contenders for
// empty tasks run tasks that count before they are measured.
package bench
