package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

func TestACommandIsStartedAgainAsItsPolicySays(t *testing.T) {
	for _, one := range []struct {
		policy string
		code   int
		want   bool
	}{
		{"never", 0, false}, {"never", 1, false}, {"on-failure", 0, false}, {"on-failure", 137, true},
		{"always", 0, true}, {"always", 1, true},
	} {
		if got := again(one.policy, one.code); got != one.want {
			t.Error(one, got)
		}
	}
}

func TestPausesGrowToTheirLimit(t *testing.T) {
	wait := restartFirst
	for count := 0; count < 100; count++ {
		wait = longer(wait)
	}
	if wait != restartMax {
		t.Error(wait)
	}
}

func TestOutputThatNobodyTakesKeepsNobodyWaitingAndItsEndIsKept(t *testing.T) {
	ring := newLogRing()
	for count := 0; count < 1000; count++ {
		ring.Write(bytes.Repeat([]byte("x"), 4096))
	}
	ring.Write([]byte("the end"))
	got := string(ring.take())
	if len(got) > logBytesMax+100 || !strings.HasSuffix(got, "the end") || !strings.Contains(got, "output was lost") {
		t.Error(len(got), got[:40])
	}
}

type stream struct {
	io.Reader
	bytes.Buffer
}

func (one *stream) Read(data []byte) (int, error) { return one.Reader.Read(data) }
func (one *stream) Close() error                  { return nil }

func TestWhatWasOnTheWayBeforeAGreetingIsPassedOver(t *testing.T) {
	nonce := strings.Repeat("ab", 16)
	one := &stream{Reader: strings.NewReader("\x00\xffgarbage\nhello short\nhello " + nonce + "\nSSH-2.0-x")}
	opened, err := greeted(one)
	if err != nil || one.Buffer.String() != "ready "+nonce+"\n" {
		t.Fatal(err, one.Buffer.String())
	}
	if rest, _ := io.ReadAll(opened); string(rest) != "SSH-2.0-x" {
		t.Error(string(rest))
	}
}

func TestAStreamWithoutAGreetingEnds(t *testing.T) {
	for _, text := range []string{"", "hello", strings.Repeat("z", 100000)} {
		if _, err := greeted(&stream{Reader: strings.NewReader(text)}); err == nil {
			t.Error("taken:", len(text))
		}
	}
}

type silent struct{ written chan []byte }

func (one silent) Read([]byte) (int, error) { time.Sleep(time.Hour); return 0, io.EOF }
func (one silent) Write(data []byte) (int, error) {
	one.written <- append([]byte(nil), data...)
	return len(data), nil
}

type silentLink struct{ silent }

func (one silentLink) control() io.ReadWriter                 { return one.silent }
func (one silentLink) logs() io.Writer                        { return io.Discard }
func (one silentLink) accept(int) (io.ReadWriteCloser, error) { return nil, io.EOF }
func (one silentLink) ways() int                              { return 0 }

func TestTheHostHearsTheWholeStateAndCanAskForTheEnd(t *testing.T) {
	over := silentLink{silent{make(chan []byte, 8)}}
	stop := make(chan stopping, 1)
	code := 3
	one := newControl(over, func() serviceState { return serviceState{"exited", &code, 2, ""} }, stop)
	one.run("running")
	if got := string(<-over.written); got != `{"run":"running","service":"exited","exit_code":3,"starts":2}`+"\n" {
		t.Error(got)
	}
	one.take([]byte(`{"stop":true,"grace_s":0.5}`))
	if got := <-stop; got.grace != 500*time.Millisecond {
		t.Error(got)
	}
	one.take([]byte("not json"))
	one.flush()
}
