//go:build unix

package main

import "syscall"

const (
	sigStop     = syscall.SIGSTOP
	sigContinue = syscall.SIGCONT
)

// killSelf ends this process as a crash does: nothing of it runs any more.
func killSelf() {
	syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {}
}
