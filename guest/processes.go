package main

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// As process 1 we are the parent of every orphan. One loop waits for all children; who started one hears from it how
// it ended. The lock keeps it from ending before anybody listens.
var children = struct {
	sync.Mutex
	ends map[int]chan unix.WaitStatus
}{ends: map[int]chan unix.WaitStatus{}}

func reapForEver() {
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, unix.SIGCHLD)
	for {
		reap()
		<-arrived
	}
}

func reap() {
	children.Lock()
	defer children.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if pid <= 0 || err != nil {
			return
		}
		if end, known := children.ends[pid]; known {
			end <- status
			delete(children.ends, pid)
		}
	}
}

// start looks for the program in the PATH of its own environment.
func start(arguments []string, attributes *os.ProcAttr) (int, <-chan unix.WaitStatus, error) {
	path, err := findProgram(arguments[0], variable(attributes.Env, "PATH"))
	if err != nil {
		return 0, nil, err
	}
	children.Lock()
	defer children.Unlock()
	process, err := os.StartProcess(path, arguments, attributes)
	if err != nil {
		return 0, nil, err
	}
	end := make(chan unix.WaitStatus, 1)
	children.ends[process.Pid] = end
	return process.Pid, end, nil
}

func findProgram(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, folder := range strings.Split(path, ":") {
		found := folder + "/" + name
		if facts, err := os.Stat(found); err == nil && !facts.IsDir() && facts.Mode()&0o111 != 0 {
			return found, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

// variable is the last of that name, as for the program that gets them.
func variable(environment []string, name string) string {
	value := ""
	for _, one := range environment {
		if strings.HasPrefix(one, name+"=") {
			value = one[len(name)+1:]
		}
	}
	return value
}

func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
