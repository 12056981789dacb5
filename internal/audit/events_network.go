package audit

// NetworkStart says how the box's network is served.
type NetworkStart struct {
	Captured   bool   `json:"captured"`        // whatever the client: every TCP connection and name query arrives at agentbox
	Lacks      Text   `json:"lacks,omitempty"` // why not
	Registries []Text `json:"registries"`      // what "@npm" and its kin stand for: "@npm HOST:PORT"
	Published  []Text `json:"published"`       // addresses of the host that lead into the box: "127.0.0.1:3000 3000"
	Forwarded  []Text `json:"forwarded"`       // entries of network.forward
	Inspected  []Text `json:"inspected"`       // hosts whose TLS agentbox reads
}

// Type is network.start.
func (NetworkStart) Type() string { return "network.start" }

// NetworkConnection is a connection that was let out, whose bytes agentbox has not read, and that is over.
type NetworkConnection struct {
	Via          Text   `json:"via"`  // capture, connect, http, socks5, forward or publish
	Host         Text   `json:"host"` // as it was asked for, in its one form
	Port         uint16 `json:"port"`
	Address      Text   `json:"address,omitempty"` // that was dialled; the upstream proxy's where there is one
	SNI          Text   `json:"sni,omitempty"`     // the name in TLS
	BytesOut     int64  `json:"bytes_out"`
	BytesIn      int64  `json:"bytes_in"`
	Milliseconds int64  `json:"milliseconds"`
	Rule         Text   `json:"rule"`          // the entry of the profile that allowed it
	PID          int    `json:"pid,omitempty"` // of the program, on the host, where it was still to be found
	Argv         []Text `json:"argv,omitempty"`
	Error        Text   `json:"error,omitempty"` // what ended it, if it did not end by itself
}

// Type is network.connection.
func (NetworkConnection) Type() string { return "network.connection" }

// NetworkRefused is a connection, request or name query that was not let out.
type NetworkRefused struct {
	Via    Text   `json:"via"` // as NetworkConnection has it, or dns
	Host   Text   `json:"host"`
	Port   uint16 `json:"port,omitempty"`
	Method Text   `json:"method,omitempty"`
	Path   Text   `json:"path,omitempty"`
	SNI    Text   `json:"sni,omitempty"`
	Reason Text   `json:"reason"`         // not-allowed, denied, bad-host, bad-address, bad-request, mismatch, wrong-protocol, limit, unreachable or budget
	Rule   Text   `json:"rule,omitempty"` // the entry of the profile that decided; none where nothing allows it
	Detail Text   `json:"detail,omitempty"`
	PID    int    `json:"pid,omitempty"`
	Argv   []Text `json:"argv,omitempty"`
}

// Type is network.refused.
func (NetworkRefused) Type() string { return "network.refused" }
