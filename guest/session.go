package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

var signalNumbers = map[string]unix.Signal{
	"ABRT": unix.SIGABRT, "ALRM": unix.SIGALRM, "HUP": unix.SIGHUP, "INT": unix.SIGINT, "KILL": unix.SIGKILL,
	"QUIT": unix.SIGQUIT, "TERM": unix.SIGTERM, "USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2, "PIPE": unix.SIGPIPE,
}

// session is one command, shell or sftp (RFC 4254, section 6).
type session struct {
	channel     ssh.Channel
	who         account
	machine     Config
	environment []string
	terminal    *terminal

	sync.Mutex
	group int
}

func newSession(channel ssh.Channel, who account, machine Config) *session {
	return &session{channel: channel, who: who, machine: machine}
}

func (one *session) serve(asked <-chan *ssh.Request) {
	started := false
	for request := range asked {
		accepted := false
		switch request.Type {
		case "env":
			accepted = one.takeVariable(request.Payload)
		case "pty-req":
			accepted = !started && one.takeTerminal(request.Payload)
		case "window-change":
			accepted = one.takeSize(request.Payload)
		case "signal":
			accepted = one.takeSignal(request.Payload)
		case "shell", "exec", "subsystem":
			if arguments := one.command(request); !started && arguments != nil {
				started, accepted = true, true
				go one.run(arguments)
			}
		}
		if request.WantReply {
			request.Reply(accepted, nil)
		}
	}
	one.hangUp(unix.SIGHUP)
	if !started {
		one.channel.Close()
		if one.terminal != nil {
			one.terminal.close()
		}
	}
}

// command is nil for what there is not.
func (one *session) command(request *ssh.Request) []string {
	var text struct{ Value string }
	ssh.Unmarshal(request.Payload, &text)
	shell := one.who.loginShell()
	switch {
	case request.Type == "subsystem" && text.Value == "sftp":
		return []string{"/proc/self/exe", "sftp"}
	case request.Type == "subsystem":
		return nil
	case request.Type == "shell" && shell == "":
		fmt.Fprint(one.channel.Stderr(), "this image has no shell; name a program to run\r\n")
		return nil
	case request.Type == "shell":
		return []string{shell, "-l"}
	case shell == "":
		return strings.Fields(text.Value) // an image of one program only: words are all there can be
	default:
		return []string{shell, "-c", text.Value}
	}
}

func (one *session) takeVariable(payload []byte) bool {
	var variable struct{ Name, Value string }
	if ssh.Unmarshal(payload, &variable) != nil {
		return false
	}
	if variable.Name != "LANG" && !strings.HasPrefix(variable.Name, "LC_") {
		return false
	}
	one.environment = append(one.environment, variable.Name+"="+variable.Value)
	return true
}

func (one *session) takeTerminal(payload []byte) bool {
	var wanted struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	if ssh.Unmarshal(payload, &wanted) != nil || one.terminal != nil {
		return false
	}
	opened, err := openTerminal(one.who, wanted.Columns, wanted.Rows)
	if err != nil {
		say(err)
		return false
	}
	one.terminal = opened
	one.environment = append(one.environment, "TERM="+wanted.Term)
	return true
}

func (one *session) takeSize(payload []byte) bool {
	var size struct{ Columns, Rows, Width, Height uint32 }
	if one.terminal == nil || ssh.Unmarshal(payload, &size) != nil {
		return false
	}
	return one.terminal.resize(size.Columns, size.Rows) == nil
}

func (one *session) takeSignal(payload []byte) bool {
	var named struct{ Name string }
	ssh.Unmarshal(payload, &named)
	number, known := signalNumbers[named.Name]
	if known {
		one.hangUp(number)
	}
	return known
}

func (one *session) hangUp(number unix.Signal) {
	one.Lock()
	defer one.Unlock()
	if one.group > 0 {
		unix.Kill(-one.group, number)
	}
}

func (one *session) run(arguments []string) {
	defer one.channel.Close()
	home := one.who.home
	if _, err := os.Stat(home); err != nil {
		home = "/"
	}
	environment := one.who.environment(append(append([]string{"SHELL=" + one.who.loginShell()}, one.machine.Env...), one.environment...))
	attributes := &os.ProcAttr{Dir: home, Env: environment}
	attributes.Sys = &syscall.SysProcAttr{Setsid: true, Credential: one.who.credential()}
	streams, err := one.streams(attributes)
	if err != nil {
		one.end(126, err)
		return
	}
	if len(arguments) == 0 {
		arguments = []string{""}
	}
	one.Lock()
	pid, ended, err := start(arguments, attributes)
	if err == nil {
		one.group = pid
	}
	one.Unlock()
	streams.started()
	if err != nil {
		streams.close()
		one.end(127, err)
		return
	}
	status := <-ended
	one.Lock()
	one.group = 0
	one.Unlock()
	streams.wait()
	one.endWith(status)
}

func (one *session) streams(attributes *os.ProcAttr) (streams, error) {
	if one.terminal != nil {
		attributes.Files = []*os.File{one.terminal.slave, one.terminal.slave, one.terminal.slave}
		attributes.Sys.Setctty = true
		return &terminalStreams{one.terminal, one.channel, make(chan struct{})}, nil
	}
	return newPipeStreams(one.channel, attributes)
}

func (one *session) end(code uint32, err error) {
	fmt.Fprintln(one.channel.Stderr(), err)
	one.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code}))
}

func (one *session) endWith(status unix.WaitStatus) {
	if !status.Signaled() {
		one.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(status.ExitStatus())}))
		return
	}
	for name, number := range signalNumbers {
		if number == status.Signal() {
			signal := struct {
				Name     string
				Core     bool
				Message  string
				Language string
			}{name, false, "", ""}
			one.channel.SendRequest("exit-signal", false, ssh.Marshal(signal))
			return
		}
	}
	one.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(exitCode(status))}))
}

// --- the streams of a command -----------------------------------------------------------------------------------

type streams interface {
	started() // the command has its ends, or there is none
	wait()
	close()
}

type pipeStreams struct {
	theirs, ours []*os.File
	channel      ssh.Channel
	drained      sync.WaitGroup
}

func newPipeStreams(channel ssh.Channel, attributes *os.ProcAttr) (*pipeStreams, error) {
	made := &pipeStreams{channel: channel}
	for number := 0; number < 3; number++ {
		read, write, err := os.Pipe()
		if err != nil {
			made.closeAll()
			return nil, err
		}
		if number == 0 {
			made.theirs, made.ours = append(made.theirs, read), append(made.ours, write)
		} else {
			made.theirs, made.ours = append(made.theirs, write), append(made.ours, read)
		}
	}
	attributes.Files = made.theirs
	return made, nil
}

func (one *pipeStreams) closeAll() {
	for _, file := range append(one.theirs, one.ours...) {
		file.Close()
	}
}

func (one *pipeStreams) close() {
	for _, file := range one.ours {
		file.Close()
	}
}

func (one *pipeStreams) started() {
	for _, file := range one.theirs {
		file.Close()
	}
	one.drained.Add(2)
	go func() {
		io.Copy(one.ours[0], one.channel)
		one.ours[0].Close()
	}()
	take := func(to io.Writer, from *os.File) {
		io.Copy(to, from)
		from.Close()
		one.drained.Done()
	}
	go take(one.channel, one.ours[1])
	go take(one.channel.Stderr(), one.ours[2])
}

func (one *pipeStreams) wait() { one.drained.Wait() }

type terminalStreams struct {
	terminal *terminal
	channel  ssh.Channel
	drained  chan struct{}
}

func (one *terminalStreams) started() {
	one.terminal.slave.Close()
	go io.Copy(one.terminal.master, one.channel)
	go func() {
		io.Copy(one.channel, one.terminal.master)
		close(one.drained)
	}()
}

func (one *terminalStreams) wait() {
	<-one.drained
	one.terminal.close()
}

func (one *terminalStreams) close() { one.terminal.close() }
