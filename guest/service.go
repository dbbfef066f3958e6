package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	restartFirst = 200 * time.Millisecond
	restartMax   = 30 * time.Second
	steady       = 10 * time.Second
)

// service is the image's command.
type service struct {
	config  Config
	changed func()

	sync.Mutex
	phase   string
	code    *int
	starts  int
	pid     int
	ending  bool
	stopped chan struct{}
	why     string
}

type serviceState struct {
	Phase  string `json:"service"`
	Code   *int   `json:"exit_code"`
	Starts int    `json:"starts"`
	Why    string `json:"why,omitempty"`
}

func newService(config Config) *service {
	return &service{config: config, phase: "none", changed: func() {}, stopped: make(chan struct{})}
}

func (one *service) state() serviceState {
	one.Lock()
	defer one.Unlock()
	return serviceState{one.phase, one.code, one.starts, one.why}
}

func (one *service) start() {
	if len(one.config.Command) == 0 {
		close(one.stopped)
		return
	}
	go one.keepRunning()
}

func (one *service) keepRunning() {
	defer close(one.stopped)
	wait := restartFirst
	for {
		began := time.Now()
		code := one.runOnce()
		if !again(one.config.Restart, code) || one.isEnding() {
			return
		}
		if time.Since(began) > steady {
			wait = restartFirst
		}
		one.sleep(wait)
		if one.isEnding() {
			return
		}
		wait = longer(wait)
	}
}

func again(policy string, code int) bool {
	return policy == "always" || (policy == "on-failure" && code != 0)
}

func longer(wait time.Duration) time.Duration {
	if wait *= 2; wait > restartMax {
		return restartMax
	}
	return wait
}

func (one *service) sleep(wait time.Duration) {
	for end := time.Now().Add(wait); time.Now().Before(end) && !one.isEnding(); {
		time.Sleep(50 * time.Millisecond)
	}
}

func (one *service) isEnding() bool {
	one.Lock()
	defer one.Unlock()
	return one.ending
}

// runOnce is the code of its end; 127 when there is no such program, 126 when it cannot be run, as of a shell.
func (one *service) runOnce() int {
	end, output, err := one.launch()
	if err != nil {
		fmt.Fprintf(logs, "weft-init: %s: %v\n", one.config.Command[0], err)
		code := 126
		if os.IsNotExist(err) || isNotFound(err) {
			code = 127
		}
		one.note("exited", &code, 0, err.Error())
		return code
	}
	status := <-end
	code := exitCode(status)
	one.Lock()
	group := one.pid
	one.Unlock()
	unix.Kill(-group, unix.SIGKILL) // what it left behind holds its output open
	<-output
	one.note("exited", &code, 0, "")
	return code
}

func (one *service) launch() (<-chan unix.WaitStatus, <-chan struct{}, error) {
	who, err := findAccount("/etc", one.config.User)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(one.config.Dir, 0o755); err != nil {
		return nil, nil, err
	}
	nothing, err := os.Open("/dev/null")
	if err != nil {
		return nil, nil, err
	}
	defer nothing.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	// A service may open its output anew by /dev/stdout, as nginx does: it has to be its user's.
	write.Chown(int(who.uid), int(who.gid))
	one.Lock()
	defer one.Unlock()
	if one.ending {
		read.Close()
		write.Close()
		return nil, nil, fmt.Errorf("the machine is stopping")
	}
	pid, end, err := start(one.config.Command, &os.ProcAttr{
		Dir: one.config.Dir, Env: who.environment(one.config.Env), Files: []*os.File{nothing, write, write},
		Sys: &syscall.SysProcAttr{Setsid: true, Credential: who.credential()},
	})
	write.Close()
	if err != nil {
		read.Close()
		return nil, nil, err
	}
	one.pid, one.phase, one.why = pid, "running", ""
	one.starts++
	go one.changed()
	taken := make(chan struct{})
	go func() {
		io.Copy(logs, read)
		read.Close()
		close(taken)
	}()
	return end, taken, nil
}

func (one *service) note(phase string, code *int, pid int, why string) {
	one.Lock()
	one.phase, one.code, one.pid, one.why = phase, code, pid, why
	one.Unlock()
	one.changed()
}

// stop asks it to end, and after the grace makes it.
func (one *service) stop(grace time.Duration) {
	one.Lock()
	one.ending = true
	pid := one.pid
	one.Unlock()
	if pid > 0 {
		unix.Kill(-pid, unix.SIGTERM)
	}
	select {
	case <-one.stopped:
	case <-time.After(grace):
		if pid > 0 {
			unix.Kill(-pid, unix.SIGKILL)
		}
		<-one.stopped
	}
}
