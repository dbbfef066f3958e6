package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// link is how this machine and its host talk: over ports of the machine, or over its vsock. Never over the network.
type link interface {
	control() io.ReadWriter
	logs() io.Writer
	// accept waits for the next who wants in; every caller has one of `ways` of its own.
	accept(way int) (io.ReadWriteCloser, error)
	ways() int
}

const portPatience = 5 * time.Second

func openLink(channel string) link {
	if channel == "vsock" {
		return newVsockLink()
	}
	return newPortLink("/sys/class/virtio-ports")
}

// --- virtio-serial: one port per stream -------------------------------------------------------------------------

// portLink: devices by the names that the host gave them.
type portLink struct{ devices map[string]string }

func newPortLink(class string) *portLink {
	found := &portLink{map[string]string{}}
	for deadline := time.Now().Add(portPatience); ; time.Sleep(2 * time.Millisecond) {
		names, _ := filepath.Glob(class + "/*/name")
		for _, path := range names {
			text, _ := os.ReadFile(path)
			found.devices[strings.TrimSpace(string(text))] = "/dev/" + filepath.Base(filepath.Dir(path))
		}
		// Ports come in the order in which the host lists them, and the control port is its last.
		if found.devices["weft.control"] != "" || time.Now().After(deadline) {
			return found
		}
	}
}

func (ports *portLink) control() io.ReadWriter { return openPort(ports.devices["weft.control"]) }
func (ports *portLink) logs() io.Writer        { return openPort(ports.devices["weft.log"]) }

func (ports *portLink) ways() int {
	count := 0
	for ports.devices[fmt.Sprint("weft.ssh.", count)] != "" {
		count++
	}
	return count
}

// accept: a write to a port waits until the host opens it, so a greeting is what tells us that somebody is there.
func (ports *portLink) accept(way int) (io.ReadWriteCloser, error) {
	opened := openPort(ports.devices[fmt.Sprint("weft.ssh.", way)])
	if _, err := io.WriteString(opened, "weft\n"); err != nil {
		opened.Close()
		return nil, err
	}
	return greeted(opened)
}

// greeted reads up to the host's greeting and answers it. What comes before is of a stream that ended there already.
func greeted(stream io.ReadWriteCloser) (io.ReadWriteCloser, error) {
	line := make([]byte, 0, 128)
	for one := make([]byte, 1); len(line) < 4096; {
		if _, err := io.ReadFull(stream, one); err != nil {
			stream.Close()
			return nil, err
		}
		if one[0] != '\n' {
			line = append(line, one[0])
			continue
		}
		if nonce := strings.TrimPrefix(string(line), "hello "); nonce != string(line) && len(nonce) == 32 {
			if _, err := io.WriteString(stream, "ready "+nonce+"\n"); err != nil {
				stream.Close()
				return nil, err
			}
			return stream, nil
		}
		line = line[:0]
	}
	stream.Close()
	return nil, fmt.Errorf("the host did not greet")
}

// port is read and written with blocking calls: the kernel's poll says of a port without a host only that it hung up.
type port struct{ fd int }

func openPort(path string) *port {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &port{-1}
	}
	return &port{fd}
}

func (one *port) Read(data []byte) (int, error) {
	for {
		count, err := unix.Read(one.fd, data)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if count == 0 && len(data) > 0 {
			return 0, io.EOF
		}
		return count, nil
	}
}

func (one *port) Write(data []byte) (int, error) {
	done := 0
	for done < len(data) {
		count, err := unix.Write(one.fd, data[done:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		done += count
	}
	return done, nil
}

func (one *port) Close() error { return unix.Close(one.fd) }

// --- vsock: a port number per stream ----------------------------------------------------------------------------

const (
	vsockSSH     = 22
	vsockControl = 1023
	vsockLog     = 1022
	vsockWays    = 8
)

type vsockLink struct{ ssh, toControl, toLog int }

func newVsockLink() *vsockLink {
	return &vsockLink{listenVsock(vsockSSH), listenVsock(vsockControl), listenVsock(vsockLog)}
}

func listenVsock(number uint32) int {
	socket, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(socket, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: number})
	}
	if err == nil {
		err = unix.Listen(socket, 16)
	}
	say(err)
	return socket
}

func acceptVsock(listener int) (*port, error) {
	for {
		socket, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if err == nil {
			return &port{socket}, nil
		}
		if err != unix.EINTR && err != unix.ECONNABORTED {
			return nil, err
		}
	}
}

func (vsock *vsockLink) control() io.ReadWriter { return &newest{listener: vsock.toControl} }
func (vsock *vsockLink) logs() io.Writer        { return &newest{listener: vsock.toLog} }
func (vsock *vsockLink) ways() int              { return vsockWays }

func (vsock *vsockLink) accept(int) (io.ReadWriteCloser, error) {
	stream, err := acceptVsock(vsock.ssh)
	if err != nil {
		return nil, err
	}
	return greeted(stream)
}

// newest is the stream of whoever called last: like a port, it waits while nobody is there.
type newest struct {
	listener int
	lock     sync.Mutex
	stream   *port
}

func (one *newest) current() (*port, error) {
	one.lock.Lock()
	defer one.lock.Unlock()
	if one.stream == nil {
		stream, err := acceptVsock(one.listener)
		if err != nil {
			return nil, err
		}
		one.stream = stream
	}
	return one.stream, nil
}

func (one *newest) forget(stream *port) {
	one.lock.Lock()
	defer one.lock.Unlock()
	if one.stream == stream {
		stream.Close()
		one.stream = nil
	}
}

func (one *newest) Read(data []byte) (int, error) {
	stream, err := one.current()
	if err != nil {
		return 0, err
	}
	count, err := stream.Read(data)
	if err != nil {
		one.forget(stream)
	}
	return count, err
}

func (one *newest) Write(data []byte) (int, error) {
	stream, err := one.current()
	if err != nil {
		return 0, err
	}
	count, err := stream.Write(data)
	if err != nil {
		one.forget(stream)
	}
	return count, err
}

// --- a failure before anything else works -----------------------------------------------------------------------

func tellFailure(over link, why string) {
	told := make(chan struct{})
	go func() {
		text, _ := json.Marshal(report{Run: "failed", serviceState: serviceState{Why: why}})
		over.control().Write(append(text, '\n'))
		close(told)
	}()
	select {
	case <-told:
	case <-time.After(2 * time.Second):
	}
}
