package store

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"

	"github.com/go-sql-driver/mysql"
)

// A server may ask for the password itself, encrypted with an RSA key that it shows: whoever answers in the server's
// place would learn it. So on a connection without TLS the driver is given a key that cannot encrypt, or the one that
// the dsn names, and login looks for what it would still answer with another key.

// errAsksPassword says that a server wants more than the answer to a challenge.
var errAsksPassword = errors.New("the server asks for the password, which this connection does not protect")

// errNonsense says that a server does not keep to the protocol.
var errNonsense = errors.New("the server's answer makes no sense")

// noKey is the name of the key that cannot encrypt.
const noKey = "f2bc: none"

func init() { mysql.RegisterServerPubKey(noKey, &rsa.PublicKey{N: big.NewInt(3), E: 3}) }

// serverKey makes the key that the dsn names known to the driver, and returns its name there.
func (d DSN) serverKey() (string, error) {
	if d.ServerKey == "" {
		return noKey, nil
	}
	text, err := os.ReadFile(d.ServerKey)
	if err != nil {
		return "", fmt.Errorf("server-key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return "", fmt.Errorf("server-key: no PEM public key in %s", d.ServerKey)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("server-key: %s: %w", d.ServerKey, err)
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return "", fmt.Errorf("server-key: %s holds no RSA key", d.ServerKey)
	}
	mysql.RegisterServerPubKey(d.ServerKey, public)
	return d.ServerKey, nil
}

// maxLogin is more than any packet of a login has.
const maxLogin = 64 << 10

// login is what a server says until it has let us in.
type login struct {
	from    io.Reader
	pinned  bool   // its key is known
	greeted bool   // its first packet was seen
	packet  []byte // what may be read of one that was looked at
	over    bool
}

func (l *login) Read(b []byte) (int, error) {
	if len(l.packet) == 0 && !l.over {
		if err := l.next(); err != nil {
			return 0, err
		}
	}
	if len(l.packet) == 0 {
		return l.from.Read(b)
	}
	n := copy(b, l.packet)
	l.packet = l.packet[n:]
	return n, nil
}

// next reads a packet: three bytes of length, one of sequence, the payload.
func (l *login) next() error {
	packet := make([]byte, 4)
	if _, err := io.ReadFull(l.from, packet); err != nil {
		return err
	}
	size := int(packet[0]) | int(packet[1])<<8 | int(packet[2])<<16
	if size == 0 || size > maxLogin {
		return fmt.Errorf("%w: a packet of %d bytes in a login", errNonsense, size)
	}
	packet = append(packet, make([]byte, size)...)
	if _, err := io.ReadFull(l.from, packet[4:]); err != nil {
		return err
	}
	if l.greeted && l.asks(packet[4:]) {
		return errAsksPassword
	}
	l.greeted, l.packet = true, packet
	return nil
}

// asks reports whether an answer to a login asks for the password, and notes when it is the last one.
func (l *login) asks(answer []byte) bool {
	const ok, more, change, failed = 0x00, 0x01, 0xfe, 0xff
	switch answer[0] {
	case ok, failed:
		l.over = true
	case more: // of caching_sha2_password: 3 for enough, 4 for the password; of sha256_password: a key
		const enough, password = 3, 4
		return len(answer) != 2 || answer[1] != enough && (answer[1] != password || !l.pinned)
	case change:
		plugin, _, _ := bytes.Cut(answer[1:], []byte{0})
		return string(plugin) == "sha256_password" && !l.pinned
	}
	return false
}
