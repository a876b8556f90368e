package mysqldouble

import (
	"io"
	"slices"
)

// ReadPacket reads a packet of the protocol, header and all.
func ReadPacket(r io.Reader) ([]byte, error) {
	packet := make([]byte, 4)
	if _, err := io.ReadFull(r, packet); err != nil {
		return nil, err
	}
	packet = append(packet, make([]byte, int(packet[0])|int(packet[1])<<8|int(packet[2])<<16)...)
	_, err := io.ReadFull(r, packet[4:])
	return packet, err
}

// Packet puts a header before a payload.
func Packet(sequence byte, payload ...byte) []byte {
	n := len(payload)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), sequence}, payload...)
}

// The answers of a server.
var (
	OK       = []byte{0, 0, 0, 2, 0, 0, 0}
	EOF      = []byte{0xfe, 0, 0, 2, 0}
	Denied   = append([]byte{0xff, 0x15, 0x04}, "#28000Access denied"...)
	Full     = []byte{1, 4}                   // caching_sha2_password: now the password itself
	Enough   = []byte{1, 3}                   // caching_sha2_password: the answer to the challenge was right
	OldAuth  = []byte{0xfe}                   // the password in the manner of MySQL 4.0
	Scramble = []byte("12345678901234567890") // a challenge
)

// Switch asks for the answer of another plugin to the challenge.
func Switch(plugin string, scramble []byte) []byte {
	return slices.Concat([]byte{0xfe}, []byte(plugin), []byte{0}, scramble, []byte{0})
}

// Greeting is the first packet of a server.
func Greeting(plugin string) []byte {
	const capabilities = 0x0000ffff &^ 0x0800 &^ 0x0020 // what there is, but no TLS and no compression
	const more = 0x0008 | 0x0020 | 0x0100               // plugins, their data's length, deprecated EOF
	g := append([]byte{10}, "8.0.36\x00"...)
	g = append(g, 1, 0, 0, 0)
	g = append(g, Scramble[:8]...)
	g = append(g, 0, capabilities&0xff, capabilities>>8, 45, 2, 0, more&0xff, more>>8, 21)
	g = append(g, make([]byte, 10)...)
	g = append(append(g, Scramble[8:]...), 0)
	return append(append(g, plugin...), 0)
}

// Nonsense returns what may stand in the place of a packet, by name. After what stalls nothing follows.
func Nonsense(packet []byte, file string) map[string][]byte {
	sequence, payload := packet[3], packet[4:]
	is := func(payload ...byte) []byte { return Packet(sequence, payload...) }
	lie := func(size int) []byte {
		return append([]byte{byte(size), byte(size >> 8), byte(size >> 16), sequence}, payload...)
	}
	return map[string][]byte{
		"garbage":          is([]byte("\x07\x80\xff\xfe\xfd\xfc\xfb\x00garbage\xff\xff\xff")...),
		"zeros":            is(make([]byte, len(payload))...),
		"one byte":         is(7),
		"nothing":          is(),
		"half":             is(payload[:len(payload)/2]...),
		"OK":               is(OK...),
		"short OK":         is(0),
		"EOF":              is(EOF...),
		"error":            is(Denied...),
		"short error":      is(0xff, 0x15),
		"error of nothing": is(0xff),
		"wrong sequence":   Packet(sequence+1, payload...),
		"twice":            append(append([]byte(nil), packet...), packet...),
		"promises more":    lie(len(payload) + 100),
		"promises 16 MB":   lie(1<<24 - 2),
		"goes on":          lie(1<<24 - 1),
		"huge string":      is(append([]byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, payload...)...),
		"huge count":       is(0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"file":             is(append([]byte{0xfb}, file...)...),
		"native":           is(Switch("mysql_native_password", Scramble)...),
		"native, short":    is(Switch("mysql_native_password", Scramble[:3])...),
		"native, nothing":  is(append([]byte{0xfe}, "mysql_native_password\x00"...)...),
		"clear":            is(Switch("mysql_clear_password", nil)...),
		"dialog":           is(Switch("dialog", []byte("\x04Password: "))...),
		"old":              is(Switch("mysql_old_password", Scramble)...),
		"oldest":           is(OldAuth...),
		"caching_sha2":     is(Switch("caching_sha2_password", Scramble)...),
		"sha256":           is(Switch("sha256_password", Scramble)...),
		"sha256, nothing":  is(append([]byte{0xfe}, "sha256_password\x00"...)...),
		"ed25519":          is(Switch("client_ed25519", []byte("12345678901234567890123456789012"))...),
		"unknown":          is(Switch("no_such_plugin", Scramble)...),
		"full":             is(Full...),
		"enough":           is(Enough...),
		"more of nothing":  is(1),
		"key":              is(append([]byte{1}, Key()...)...),
		"key, unannounced": is(Key()...),
		"more results":     is(0, 0, 0, 10, 0, 0, 0),
		"null":             is(0xfb),
	}
}
