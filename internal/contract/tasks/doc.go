// Package tasks holds tests of the package's contract as far as it concerns
// tasks: one for each promise about submission, order, slots, semaphores,
// retries, contexts and shutdown. They use the exported API alone, and were
// written from the documentation without regard to the code.
package tasks
