package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

type account struct {
	name, home, shell string
	uid, gid          uint32
	groups            []uint32
}

// findAccount reads the image's own files. The user is `name`, `uid`, `name:group` or `uid:gid` as in an image's
// configuration; none is root, who is there even if the image has no such file.
func findAccount(etc, user string) (account, error) {
	name, group, _ := strings.Cut(user, ":")
	if name == "" {
		name = "0"
	}
	found, err := accountOf(etc, name)
	if err != nil {
		return account{}, err
	}
	if group != "" {
		if found.gid, err = groupOf(etc, group); err != nil {
			return account{}, err
		}
	}
	eachLine(etc+"/group", func(fields []string) bool {
		if len(fields) < 4 {
			return true
		}
		for _, member := range strings.Split(fields[3], ",") {
			if gid, err := number(fields[2]); err == nil && member == found.name {
				found.groups = append(found.groups, gid)
			}
		}
		return true
	})
	return found, nil
}

func accountOf(etc, name string) (account, error) {
	var found *account
	eachLine(etc+"/passwd", func(fields []string) bool {
		if len(fields) < 7 || (fields[0] != name && fields[2] != name) {
			return true
		}
		uid, err := number(fields[2])
		gid, other := number(fields[3])
		if err == nil && other == nil {
			found = &account{fields[0], fields[5], fields[6], uid, gid, nil}
		}
		return found == nil
	})
	if found != nil {
		return *found, nil
	}
	if name == "root" || name == "0" {
		return account{"root", "/root", "", 0, 0, nil}, nil
	}
	if uid, err := number(name); err == nil {
		return account{name, "/", "", uid, 0, nil}, nil
	}
	return account{}, fmt.Errorf("the image has no user %q", name)
}

func groupOf(etc, name string) (uint32, error) {
	if gid, err := number(name); err == nil {
		return gid, nil
	}
	gid, known := uint32(0), false
	eachLine(etc+"/group", func(fields []string) bool {
		if len(fields) >= 3 && fields[0] == name {
			if parsed, err := number(fields[2]); err == nil {
				gid, known = parsed, true
			}
		}
		return !known
	})
	if !known {
		return 0, fmt.Errorf("the image has no group %q", name)
	}
	return gid, nil
}

func number(text string) (uint32, error) {
	value, err := strconv.ParseUint(text, 10, 32)
	return uint32(value), err
}

func eachLine(path string, take func([]string) bool) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if !take(strings.Split(lines.Text(), ":")) {
			return
		}
	}
}

func (who account) credential() *syscall.Credential {
	return &syscall.Credential{Uid: who.uid, Gid: who.gid, Groups: who.groups}
}

// environment is what every process of the account gets; what the image and the user set comes behind and wins.
func (who account) environment(more []string) []string {
	base := []string{"PATH=" + defaultPath, "HOME=" + who.home, "USER=" + who.name, "LOGNAME=" + who.name}
	return append(base, more...)
}

// loginShell is empty when the image has none.
func (who account) loginShell() string {
	for _, shell := range []string{who.shell, "/bin/bash", "/bin/sh"} {
		if facts, err := os.Stat(shell); shell != "" && err == nil && !facts.IsDir() {
			return shell
		}
	}
	return ""
}
