package main

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
)

// file is one input of Map: a regular file, or what the walk failed at. The
// failures travel with the files, so that they are counted and reported where
// everything else is, in order and without a lock.
type file struct {
	name string
	err  error
}

// walk lists the regular files under roots, in lexical order within each
// directory, as far as the caller asks.
func walk(roots []string) iter.Seq[file] {
	return func(yield func(file) bool) {
		for _, root := range roots {
			if !walkRoot(root, yield) {
				return
			}
		}
	}
}

// walkRoot reports whether the caller wants more.
func walkRoot(root string, yield func(file) bool) bool {
	more := true
	// The error is nil: the callback returns none but SkipAll.
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.Type().IsRegular():
		case path == root && !d.IsDir():
			// Passing over what was asked for by name would look like success.
			err = errors.New("neither a directory nor a regular file")
		default:
			return nil
		}
		if more = yield(file{asGiven(root, path), err}); !more {
			return fs.SkipAll
		}
		return nil // after an error too: the rest of the tree is still there
	})
	return more
}

// asGiven puts root, as the user wrote it, in front of a path under it, where
// WalkDir has put the cleaned one: "./a" and not "a".
func asGiven(root, path string) string {
	if path == root {
		return root
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return path
	}
	if !os.IsPathSeparator(root[len(root)-1]) {
		root += string(filepath.Separator)
	}
	return root + rel
}
