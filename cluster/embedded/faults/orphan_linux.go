package main

import "syscall"

// fate has a child die with its parent, even while it is stopped.
func fate() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
