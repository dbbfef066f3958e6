package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

const loginAtMost = 30 * time.Second

type sshServer struct {
	config  *ssh.ServerConfig
	machine Config
}

// newSSHServer: public keys only. The algorithms are those without the weakness that CVE-2023-48795 names (that
// attack takes ChaCha20-Poly1305, or encrypt-then-MAC), because this library may be older than its remedy.
func newSSHServer(machine Config) (*sshServer, error) {
	allowed := map[string]bool{}
	for _, line := range machine.Keys {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("authorized key: %w", err)
		}
		allowed[string(key.Marshal())] = true
	}
	config := &ssh.ServerConfig{
		MaxAuthTries:  6,
		ServerVersion: "SSH-2.0-weft",
		PublicKeyCallback: func(who ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !allowed[string(key.Marshal())] {
				return nil, errors.New("not an authorized key")
			}
			return nil, nil
		},
	}
	config.KeyExchanges = []string{"curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"}
	config.Ciphers = []string{"aes128-gcm@openssh.com", "aes256-ctr"}
	config.MACs = []string{"hmac-sha2-256"}
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(machine.HostKeySeed))
	if err != nil {
		return nil, err
	}
	config.AddHostKey(signer)
	return &sshServer{config, machine}, nil
}

func (server *sshServer) listen(over link, networkPort int) {
	for way := 0; way < over.ways(); way++ {
		go func(way int) {
			for {
				stream, err := over.accept(way)
				if err != nil {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				server.serve(streamConn{stream})
			}
		}(way)
	}
	if networkPort > 0 {
		listener, err := net.Listen("tcp", fmt.Sprint(":", networkPort))
		if err != nil {
			say(err)
			return
		}
		go server.serveNetwork(listener)
	}
}

func (server *sshServer) serveNetwork(listener net.Listener) {
	places := make(chan struct{}, 64)
	for {
		connection, err := listener.Accept()
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		places <- struct{}{}
		go func() {
			defer func() { <-places }()
			server.serve(connection)
		}()
	}
}

func (server *sshServer) serve(stream net.Conn) {
	defer stream.Close()
	late := time.AfterFunc(loginAtMost, func() { stream.Close() })
	connection, channels, requests, err := ssh.NewServerConn(stream, server.config)
	late.Stop()
	if err != nil {
		return
	}
	defer connection.Close()
	who, err := findAccount("/etc", connection.User())
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		switch {
		case err != nil:
			offered.Reject(ssh.Prohibited, err.Error())
		case offered.ChannelType() == "session":
			if channel, asked, err := offered.Accept(); err == nil {
				go newSession(channel, who, server.machine).serve(asked)
			}
		case offered.ChannelType() == "direct-tcpip":
			go forward(offered)
		default:
			offered.Reject(ssh.UnknownChannelType, "session and direct-tcpip are what there is")
		}
	}
}

// forward connects to where the client wants to, from here.
func forward(offered ssh.NewChannel) {
	var target struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(offered.ExtraData(), &target); err != nil {
		offered.Reject(ssh.ConnectionFailed, "malformed")
		return
	}
	connection, err := net.DialTimeout("tcp", net.JoinHostPort(target.Host, fmt.Sprint(target.Port)), 10*time.Second)
	if err != nil {
		offered.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer connection.Close()
	channel, requests, err := offered.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	go ssh.DiscardRequests(requests)
	ended := make(chan struct{})
	go func() {
		io.Copy(channel, connection)
		channel.CloseWrite()
		close(ended)
	}()
	io.Copy(connection, channel)
	connection.(*net.TCPConn).CloseWrite()
	<-ended
}

// streamConn is a port as SSH wants it.
type streamConn struct{ io.ReadWriteCloser }

func (streamConn) LocalAddr() net.Addr              { return hostSide{} }
func (streamConn) RemoteAddr() net.Addr             { return hostSide{} }
func (streamConn) SetDeadline(time.Time) error      { return nil }
func (streamConn) SetReadDeadline(time.Time) error  { return nil }
func (streamConn) SetWriteDeadline(time.Time) error { return nil }

type hostSide struct{}

func (hostSide) Network() string { return "weft" }
func (hostSide) String() string  { return "host" }
