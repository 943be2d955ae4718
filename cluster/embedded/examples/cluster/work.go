package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/cluster"
)

// hash is the task: what workers serve and the client submits. Its input and its
// result are what crosses between them.
var hash = antflow.NewTask("sha256", hashFile)

type file struct {
	Path  string
	Delay time.Duration
}

type sum struct {
	Digest [sha256.Size]byte
	Worker string
}

func hashFile(ctx context.Context, f file) (sum, error) {
	note(began, f.Path)
	defer note(ended, f.Path)
	select {
	case <-time.After(f.Delay):
	case <-ctx.Done(): // canceled, or the worker ends
		return sum{}, ctx.Err()
	}
	digest, err := digestOf(f.Path)
	info, _ := cluster.InfoFrom(ctx)
	return sum{digest, info.Worker}, err
}

func digestOf(path string) (digest [sha256.Size]byte, err error) {
	r, err := os.Open(path)
	if err != nil {
		return digest, err
	}
	defer r.Close()
	h := sha256.New()
	_, err = io.Copy(h, r)
	h.Sum(digest[:0])
	return digest, err
}

// walk lists the regular files under folder, but for .git.
func walk(folder string) (files []string, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == ".git" && d.IsDir():
			return fs.SkipDir
		case d.Type().IsRegular():
			files = append(files, path)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("there is no file in %s", folder)
	}
	return files, err
}

var escaper = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`)

// line is a line of output, as GNU sha256sum has it.
func line(path string, s sum) string {
	name, mark := escaper.Replace(path), ""
	if name != path {
		mark = `\` // tells sha256sum -c that the name is escaped
	}
	return fmt.Sprintf("%s%x  %s\n", mark, s.Digest, name)
}
