//go:build !unix

package main

import (
	"os"
	"syscall"
)

// There is nothing like them here, so the scenarios that need them fail.
const (
	sigStop     = syscall.Signal(-1)
	sigContinue = syscall.Signal(-1)
)

// killSelf ends this process as a crash does, more or less.
func killSelf() { os.Exit(exitFailed) }
