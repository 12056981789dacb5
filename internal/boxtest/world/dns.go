package world

import (
	"encoding/binary"
	"io"
	"net"

	"golang.org/x/net/dns/dnsmessage"
)

// plainLimit is the size of an answer by UDP to a client that names no other.
const plainLimit = 512

// serveNames starts the name server, over UDP and TCP.
func (w *World) serveNames() {
	w.t.Helper()
	address := net.JoinHostPort(NameIPv4, "53")
	var packets *net.UDPConn
	err := w.far.do(func() error {
		local, err := net.ResolveUDPAddr("udp", address)
		if err == nil {
			packets, err = net.ListenUDP("udp", local)
		}
		return err
	})
	if err != nil {
		w.t.Fatal("world: name server: ", err)
	}
	done := make(chan struct{})
	w.t.Cleanup(func() {
		packets.Close()
		<-done
	})
	go func() {
		defer close(done)
		w.names.servePackets(packets)
	}()
	w.TCP(address, w.names.serveStream)
}

func (n *names) servePackets(conn *net.UDPConn) {
	buffer := make([]byte, 65535)
	for {
		size, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		// Noted here, so that the order is that of arrival; answered apart, because answers may take their time.
		if reply := n.prepare(buffer[:size], false); reply != nil {
			go func() {
				if out := reply(); out != nil {
					conn.WriteToUDPAddrPort(out, from)
				}
			}()
		}
	}
}

func (n *names) serveStream(conn net.Conn) {
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		packet := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, packet); err != nil {
			return
		}
		reply := n.prepare(packet, true)
		if reply == nil {
			return
		}
		out := reply()
		if out == nil {
			continue
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

// prepare notes a query and returns what makes the reply; nil for what is no query.
func (n *names) prepare(packet []byte, tcp bool) func() []byte {
	var message dnsmessage.Message
	if message.Unpack(packet) != nil || message.Response || len(message.Questions) != 1 {
		return nil
	}
	question := message.Questions[0]
	query := Query{normal(question.Name.String()), question.Type, tcp}
	answer := n.note(query)
	limit := plainLimit
	for _, extra := range message.Additionals {
		if extra.Header.Type == dnsmessage.TypeOPT {
			limit = max(limit, int(extra.Header.Class)) // RFC 6891: the size that the client takes
		}
	}
	if tcp {
		limit = 65535
	}
	return func() []byte { return reply(message.ID, question, answer(query), limit) }
}

func reply(id uint16, question dnsmessage.Question, answer Answer, limit int) []byte {
	if answer.Silent {
		return nil
	}
	message := dnsmessage.Message{
		Header: dnsmessage.Header{ID: id, Response: true, Authoritative: true, RecursionDesired: true,
			RecursionAvailable: true, RCode: answer.RCode},
		Questions: []dnsmessage.Question{question},
		Answers:   answer.resources(question),
	}
	out, err := message.Pack()
	if err != nil {
		return nil
	}
	if len(out) > limit {
		message.Truncated, message.Answers = true, nil
		out, err = message.Pack()
	}
	if err != nil {
		return nil
	}
	return out
}

func (a Answer) resources(question dnsmessage.Question) []dnsmessage.Resource {
	var out []dnsmessage.Resource
	owner := question.Name
	add := func(kind dnsmessage.Type, body dnsmessage.ResourceBody) {
		out = append(out, dnsmessage.Resource{Body: body,
			Header: dnsmessage.ResourceHeader{Name: owner, Type: kind, Class: dnsmessage.ClassINET, TTL: a.TTL}})
	}
	for _, alias := range a.Aliases {
		target, err := dnsmessage.NewName(normal(alias) + ".")
		if err != nil {
			return nil
		}
		add(dnsmessage.TypeCNAME, &dnsmessage.CNAMEResource{CNAME: target})
		owner = target
	}
	for _, address := range a.Addrs {
		switch {
		case address.Is4() && question.Type == dnsmessage.TypeA:
			add(dnsmessage.TypeA, &dnsmessage.AResource{A: address.As4()})
		case !address.Is4() && question.Type == dnsmessage.TypeAAAA:
			add(dnsmessage.TypeAAAA, &dnsmessage.AAAAResource{AAAA: address.As16()})
		}
	}
	return out
}
