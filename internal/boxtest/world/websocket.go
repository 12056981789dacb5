package world

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Opcodes of RFC 6455, section 5.2.
const (
	textFrame  = 1
	closeFrame = 8
	pingFrame  = 9
	pongFrame  = 10
)

// frameLimit is the length of the longest frame that is taken.
const frameLimit = 1 << 20

// WebSocket serves RFC 6455 over HTTP/1.1, as far as whole texts go, and sends every text back.
func WebSocket() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Sec-Websocket-Key")
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" {
			http.Error(w, "no handshake of WebSocket", http.StatusBadRequest)
			return
		}
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusHTTPVersionNotSupported)
			return
		}
		defer conn.Close()
		sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(both, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(sum[:]))
		for both.Flush() == nil {
			if err := echoFrame(both); err != nil {
				both.Flush()
				return
			}
		}
	})
}

func echoFrame(both *bufio.ReadWriter) error {
	opcode, payload, err := readFrame(both.Reader)
	if err != nil {
		return err
	}
	switch opcode {
	case textFrame:
		return writeFrame(both.Writer, textFrame, payload)
	case pingFrame:
		return writeFrame(both.Writer, pongFrame, payload)
	case closeFrame:
		return errors.Join(writeFrame(both.Writer, closeFrame, payload), io.EOF)
	case pongFrame:
		return nil
	}
	return fmt.Errorf("frame with opcode %d", opcode)
}

func readFrame(r *bufio.Reader) (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	const final, masked = 0x80, 0x80
	if head[0]&final == 0 || head[1]&masked == 0 {
		return 0, nil, errors.New("a part of a text, or no mask")
	}
	length := uint64(head[1] &^ masked)
	if extra := map[uint64]int{126: 2, 127: 8}[length]; extra > 0 {
		var wide [8]byte
		if _, err := io.ReadFull(r, wide[8-extra:]); err != nil {
			return 0, nil, err
		}
		length = binary.BigEndian.Uint64(wide[:])
	}
	if length > frameLimit {
		return 0, nil, fmt.Errorf("frame of %d bytes", length)
	}
	data := make([]byte, 4+length)
	if _, err := io.ReadFull(r, data); err != nil {
		return 0, nil, err
	}
	mask, payload := data[:4], data[4:]
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0] & 0x0f, payload, nil
}

func writeFrame(w *bufio.Writer, opcode byte, payload []byte) error {
	head := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(n))
	}
	_, err := w.Write(append(head, payload...))
	return err
}

// WebSocketClient is a program in Python, of its standard library alone. Its arguments are a URL, wss or ws, and texts:
// it sends each, waits for what comes back, and prints that.
const WebSocketClient = `
import base64, os, socket, ssl, struct, sys, urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
conn = socket.create_connection((url.hostname, url.port or (443 if url.scheme == "wss" else 80)), 20)
if url.scheme == "wss":
    conn = ssl.create_default_context().wrap_socket(conn, server_hostname=url.hostname)
key = base64.b64encode(os.urandom(16)).decode()
conn.sendall((f"GET {url.path or '/'} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
stream = conn.makefile("rb")
status = stream.readline().decode().strip()
if " 101 " not in status:
    sys.exit(status)
while stream.readline() not in (b"\r\n", b""):
    pass

def send(opcode, payload):
    mask, n = os.urandom(4), len(payload)
    size = bytes([0x80 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n)
    conn.sendall(bytes([0x80 | opcode]) + size + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(payload)))

def receive():
    first, n = stream.read(2)
    if n == 126:
        n, = struct.unpack(">H", stream.read(2))
    return first & 15, stream.read(n)

for text in sys.argv[2:]:
    send(1, text.encode())
    print(receive()[1].decode(), flush=True)
send(8, b"")
print("closed" if receive()[0] == 8 else "not closed")
`
