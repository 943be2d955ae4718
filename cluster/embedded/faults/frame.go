package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// A frame is a message of the protocol of NATS: a line, and for some a payload,
// which has the headers in front.
type frame struct {
	op      string // "PUB", "HPUB", "MSG", "HMSG", "PING", …
	subject string
	payload []byte
	raw     []byte
}

// readFrame reads the next one.
func readFrame(r *bufio.Reader) (frame, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return frame{}, err
	}
	fields := bytes.Fields(line)
	if len(fields) == 0 {
		return frame{raw: line}, nil
	}
	f := frame{op: string(bytes.ToUpper(fields[0])), raw: line}
	switch f.op {
	case "PUB", "HPUB", "MSG", "HMSG":
	default:
		return f, nil
	}
	if len(fields) < 3 {
		return f, fmt.Errorf("a %s with %d fields", f.op, len(fields))
	}
	f.subject = string(fields[1])
	size, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil || size < 0 {
		return f, fmt.Errorf("a %s of %q bytes", f.op, fields[len(fields)-1])
	}
	f.raw = append(make([]byte, 0, len(line)+size+2), line...)
	f.raw = f.raw[:len(line)+size+2]
	if _, err := io.ReadFull(r, f.raw[len(line):]); err != nil {
		return f, err
	}
	f.payload = f.raw[len(line) : len(line)+size]
	return f, nil
}

// isAck reports whether f is what a worker says when a task is done.
func isAck(f *frame) bool {
	return bytes.HasPrefix([]byte(f.subject), []byte("$JS.ACK.")) && string(f.payload) == "+ACK"
}

// isPubAck reports whether f is the answer to a message published to the stream.
func isPubAck(stream string) func(*frame) bool {
	mark := []byte(`{"stream":"` + stream + `",`)
	return func(f *frame) bool {
		return (f.op == "MSG" || f.op == "HMSG") && bytes.HasPrefix(f.payload, mark) && bytes.Contains(f.payload, []byte(`"seq":`))
	}
}
