package main

import (
	"io"
	"os"

	"github.com/pkg/sftp"
)

type standardStreams struct {
	io.Reader
	io.Writer
}

func (standardStreams) Close() error { return os.Stdin.Close() }

// serveSftp is a process of its own, so that it has the rights of its user and no others.
func serveSftp() {
	server, err := sftp.NewServer(standardStreams{os.Stdin, os.Stdout})
	if err != nil {
		os.Exit(1)
	}
	if err := server.Serve(); err != nil && err != io.EOF {
		os.Exit(1)
	}
}
