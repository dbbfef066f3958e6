package main

import (
	"bufio"
	"encoding/json"
	"io"
	"sync"
	"time"
)

const (
	absentPause  = 200 * time.Millisecond
	flushAtMost  = time.Second
	requestBytes = 64 << 10
)

// report is the whole state, each time: who hears one needs none before it.
type report struct {
	Run string `json:"run"`
	serviceState
}

// request is what the host says. Every one is answered with a report.
type request struct {
	TimeNs int64    `json:"time_ns"`
	Stop   bool     `json:"stop"`
	GraceS *float64 `json:"grace_s"`
}

type control struct {
	stream  io.ReadWriter
	service func() serviceState
	stop    chan<- stopping

	sync.Mutex
	changed *sync.Cond
	phase   string
	wanted  int
	told    int
}

func newControl(over link, service func() serviceState, stop chan<- stopping) *control {
	one := &control{stream: over.control(), service: service, stop: stop, phase: "starting"}
	one.changed = sync.NewCond(one)
	go one.write()
	go one.read()
	return one
}

func (one *control) run(phase string) {
	one.Lock()
	one.phase = phase
	one.Unlock()
	one.tell()
}

func (one *control) tell() {
	one.Lock()
	defer one.Unlock()
	one.wanted++
	one.changed.Broadcast()
}

func (one *control) write() {
	for {
		one.Lock()
		for one.told == one.wanted {
			one.changed.Wait()
		}
		number, phase := one.wanted, one.phase
		one.Unlock()
		text, _ := json.Marshal(report{phase, one.service()})
		if _, err := one.stream.Write(append(text, '\n')); err != nil {
			time.Sleep(absentPause)
			continue
		}
		one.Lock()
		one.told = number
		one.changed.Broadcast()
		one.Unlock()
	}
}

// read: without a host a port reads as ended, again and again.
func (one *control) read() {
	for {
		scanner := bufio.NewScanner(one.stream)
		scanner.Buffer(make([]byte, 4096), requestBytes)
		for scanner.Scan() {
			one.take(scanner.Bytes())
		}
		time.Sleep(absentPause)
	}
}

func (one *control) take(line []byte) {
	var asked request
	if json.Unmarshal(line, &asked) != nil {
		return
	}
	if asked.TimeNs > 0 {
		correctClock(asked.TimeNs)
	}
	if asked.Stop {
		grace := graceOfSignals
		if asked.GraceS != nil {
			grace = time.Duration(*asked.GraceS * float64(time.Second))
		}
		select {
		case one.stop <- stopping{grace}:
		default:
		}
	}
	one.tell()
}

// flush waits until the host has heard the last, or for a moment.
func (one *control) flush() {
	done := make(chan struct{})
	go func() {
		logs.drain()
		one.Lock()
		for one.told != one.wanted {
			one.changed.Wait()
		}
		one.Unlock()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(flushAtMost):
	}
}
