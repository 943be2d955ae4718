//go:build !linux

package main

import "syscall"

// fate is the usual one: a child ends when its input does.
func fate() *syscall.SysProcAttr { return nil }
