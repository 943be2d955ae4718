package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// output is the file of lines. After openOutput only the one worker of the last
// stage changes it.
type output struct {
	file        *os.File
	done        map[string]bool // the files that it had a line for at the start
	before, now totals
}

// openOutput finds out what a former run has done, and makes the output ready
// for what comes behind that.
func openOutput(cfg config) (_ *output, err error) {
	f, err := os.OpenFile(cfg.output, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	o := &output{file: f}
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() && cfg.check: // a terminal, a pipe
		return nil, fmt.Errorf("%s can't be read back, which -check does", cfg.output)
	case !info.Mode().IsRegular():
		return o, nil
	}
	end := int64(0)
	if o.done, o.before, end, err = load(f); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.output, err)
	}
	if end < info.Size() {
		if err = f.Truncate(end); err != nil {
			return nil, err
		}
	}
	_, err = f.Seek(end, io.SeekStart)
	return o, err
}

// head is what each line begins with.
const head = `{"path":"`

// load reads the complete lines, up to end. It takes nothing that this program
// has not written, not even a torn line: that would be overwritten.
func load(r io.Reader) (done map[string]bool, t totals, end int64, err error) {
	done = map[string]bool{}
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		torn := err == io.EOF
		if err != nil && !torn {
			return nil, t, end, err
		}
		start := line[:min(len(line), len(head))]
		var rec record
		switch {
		case torn && bytes.HasPrefix([]byte(head), start):
			return done, t, end, nil
		case torn || !bytes.HasPrefix(line, []byte(head)) || json.Unmarshal(line, &rec) != nil:
			return nil, t, end, fmt.Errorf("line %d is none of this program", n)
		case done[rec.Path]:
			return nil, t, end, fmt.Errorf("line %d is another one for %s", n, rec.Path)
		}
		done[rec.Path] = true
		t.add(rec)
		end += int64(len(line))
	}
}

// lacks keeps the files that have no line yet.
func (o *output) lacks(_ context.Context, f file) (bool, error) { return !o.done[f.path], nil }

// write writes whole lines at once, so that only a crash or a full disk leaves
// a torn one behind.
func (o *output) write(_ context.Context, batch []record) (int, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	t := o.now
	for _, rec := range batch {
		if err := enc.Encode(rec); err != nil {
			return 0, err
		}
		t.add(rec)
	}
	if _, err := o.file.Write(b.Bytes()); err != nil {
		return 0, err
	}
	o.now = t
	return len(batch), nil
}

// totals are sums over files that parse.
type totals struct{ files, lines, functions int }

func (t *totals) add(rec record) {
	t.files++
	t.lines += rec.Lines
	t.functions += rec.Functions
}
