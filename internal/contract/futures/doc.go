// Package futures holds tests of the package's contract as far as it concerns
// results: one for each promise about futures, promises, maps, groups, waits
// and errors. They use the exported API alone, and were written from the
// documentation without regard to the code.
package futures
