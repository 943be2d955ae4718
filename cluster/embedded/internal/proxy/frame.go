package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// A Frame is a message of the protocol of NATS: a line, and for some a payload,
// which has the headers in front.
type Frame struct {
	Op      string // "PUB", "HPUB", "MSG", "HMSG", "PING", …
	Subject string
	Payload []byte
	raw     []byte
}

// readFrame reads the next one.
func readFrame(r *bufio.Reader) (Frame, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return Frame{}, err
	}
	fields := bytes.Fields(line)
	if len(fields) == 0 {
		return Frame{raw: line}, nil
	}
	f := Frame{Op: string(bytes.ToUpper(fields[0])), raw: line}
	switch f.Op {
	case "PUB", "HPUB", "MSG", "HMSG":
	default:
		return f, nil
	}
	if len(fields) < 3 {
		return f, fmt.Errorf("a %s with %d fields", f.Op, len(fields))
	}
	f.Subject = string(fields[1])
	size, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil || size < 0 {
		return f, fmt.Errorf("a %s of %q bytes", f.Op, fields[len(fields)-1])
	}
	f.raw = append(make([]byte, 0, len(line)+size+2), line...)
	f.raw = f.raw[:len(line)+size+2]
	if _, err := io.ReadFull(r, f.raw[len(line):]); err != nil {
		return f, err
	}
	f.Payload = f.raw[len(line) : len(line)+size]
	return f, nil
}

// IsAck reports whether f is what a worker says when a task is done.
func IsAck(f *Frame) bool {
	return bytes.HasPrefix([]byte(f.Subject), []byte("$JS.ACK.")) && string(f.Payload) == "+ACK"
}

// IsPubAck reports whether f is the answer to a message published to the stream.
func IsPubAck(stream string) func(*Frame) bool {
	mark := []byte(`{"stream":"` + stream + `",`)
	return func(f *Frame) bool {
		return (f.Op == "MSG" || f.Op == "HMSG") && bytes.HasPrefix(f.Payload, mark) && bytes.Contains(f.Payload, []byte(`"seq":`))
	}
}
