package main

import (
	"io"
	"sync"
)

const logBytesMax = 256 << 10

// logRing keeps the newest output while nobody takes it, and never keeps a service waiting.
type logRing struct {
	sync.Mutex
	grown   *sync.Cond
	held    []byte
	dropped int
	busy    bool
}

var logs = newLogRing()

func newLogRing() *logRing {
	ring := &logRing{}
	ring.grown = sync.NewCond(ring)
	return ring
}

func (ring *logRing) Write(data []byte) (int, error) {
	ring.Lock()
	defer ring.Unlock()
	ring.held = append(ring.held, data...)
	if over := len(ring.held) - logBytesMax; over > 0 {
		ring.held = append([]byte(nil), ring.held[over:]...)
		ring.dropped += over
	}
	ring.grown.Broadcast()
	return len(data), nil
}

// take waits for output.
func (ring *logRing) take() []byte {
	ring.Lock()
	defer ring.Unlock()
	ring.busy = false
	ring.grown.Broadcast()
	for len(ring.held) == 0 {
		ring.grown.Wait()
	}
	taken := ring.held
	if ring.dropped > 0 {
		taken = append([]byte("\n[output was lost here]\n"), taken...)
	}
	ring.held, ring.dropped, ring.busy = nil, 0, true
	return taken
}

func (ring *logRing) sendTo(target io.Writer) {
	go func() {
		for {
			target.Write(ring.take())
		}
	}()
}

// drain waits until everything was passed on.
func (ring *logRing) drain() {
	ring.Lock()
	defer ring.Unlock()
	for len(ring.held) > 0 || ring.busy {
		ring.grown.Wait()
	}
}
