package proxy

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestReadFrame(t *testing.T) {
	in := "INFO {}\r\nPUB $JS.ACK.S.c.1 4\r\n+ACK\r\nHPUB a.b _INBOX.1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n" +
		"MSG _INBOX.x 1 26\r\n{\"stream\":\"S\",\"seq\":1}\r\n\r\n\r\nMSG x 1 0\r\n\r\n"
	r := bufio.NewReader(strings.NewReader(in))
	var frames []Frame
	var raw string
	for {
		f, err := readFrame(r)
		if err != nil {
			break
		}
		frames = append(frames, f)
		raw += string(f.raw)
	}
	if raw != in {
		t.Errorf("passed on %q, want %q", raw, in)
	}
	var ops []string
	for _, f := range frames {
		ops = append(ops, f.Op)
	}
	if got := strings.Join(ops, " "); got != "INFO PUB HPUB PING MSG MSG" {
		t.Fatalf("frames %s", got)
	}
	if !IsAck(&frames[1]) || IsAck(&frames[2]) || !IsPubAck("S")(&frames[4]) || IsPubAck("T")(&frames[4]) {
		t.Errorf("an acknowledgement was taken for something else, in %q", in)
	}
	if got := string(frames[2].Payload); !strings.HasSuffix(got, "hi") {
		t.Errorf("payload %q", got)
	}
	if _, err := readFrame(bufio.NewReader(strings.NewReader("PUB a -1\r\n"))); err == nil {
		t.Error("a negative size is no error")
	}
}

// echo is the address of a server that repeats each line.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					fmt.Fprint(c, line)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestProxy(t *testing.T) {
	p, err := New(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	dial := func() (net.Conn, func(string) string) {
		c, err := net.Dial("tcp", p.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		return c, func(line string) string {
			c.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprint(c, line+"\r\n")
			back, err := r.ReadString('\n')
			if err != nil {
				return "gone"
			}
			return strings.TrimSpace(back)
		}
	}
	c, ask := dial()
	defer c.Close()
	if got := ask("PING"); got != "PING" {
		t.Fatalf("through the proxy comes %q", got)
	}
	p.Drop(ToServer, Nth(2, func(f *Frame) bool { return f.Op == "X" }))
	if got := ask("X 1\r\nX 2\r\nX 3"); got != "X 1" {
		t.Errorf("the first frame is %q", got)
	}
	if got := ask("X 4"); got != "X 3" {
		t.Errorf("after a dropped one comes %q", got)
	}
	if got := ask("Y"); got != "Y" || p.Dropped.Load() != 2 {
		t.Errorf("after two dropped ones comes %q, and %d are dropped", got, p.Dropped.Load())
	}
	if got := ask("X 5\r\nX 6"); got != "X 5" {
		t.Errorf("before a dropped one comes %q", got)
	}
	p.Stall(ToClient, true)
	time.AfterFunc(50*time.Millisecond, func() { p.Stall(ToClient, false) })
	if got := ask("Z"); got != "Z" {
		t.Errorf("after a stall comes %q", got)
	}
	p.Cut(true)
	if got := ask("PING"); got != "gone" {
		t.Errorf("a cut connection answers %q", got)
	}
	if _, ask := dial(); ask("PING") != "gone" {
		t.Error("a new connection is not refused")
	}
	p.Cut(false)
	d, ask := dial()
	defer d.Close()
	if got := ask("PING"); got != "PING" {
		t.Errorf("after the cut comes %q", got)
	}
}
