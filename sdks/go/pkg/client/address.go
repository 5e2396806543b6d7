package client

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// An address says where a server is, and what is spoken there.
type address struct {
	host      string
	port      int
	tls       bool
	transport Transport
	asked     bool          // Whether a server was asked what it speaks, and answered.
	resumable bool          // Whether it knows a call that is repeated, and a stream that is resumed.
	servers   *localServers // Which servers of this machine it stands for, until one of them is found to live.
}

func (a address) String() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }

// isLoopback reports whether only this machine can reach the address. A name counts only if it is localhost: others may
// be moved.
func (a address) isLoopback() bool {
	ip, err := netip.ParseAddr(a.host)
	return strings.EqualFold(a.host, "localhost") || err == nil && ip.IsLoopback()
}

// schemes says for each URL scheme what it means: the transport, whether there is TLS, and the port it implies.
var schemes = map[string]address{
	"http":  {transport: TransportAuto, port: 80},
	"https": {transport: TransportAuto, port: 443, tls: true},
	"ws":    {transport: TransportHTTP, port: 80},
	"wss":   {transport: TransportHTTP, port: 443, tls: true},
	"grpc":  {transport: TransportGRPC, port: 50051},
	"grpcs": {transport: TransportGRPC, port: 443, tls: true},
}

// resolve returns the address of the first that is there: a URL, host and port, the servers of this machine, the
// environment
// (docs/design.md, discovery).
func resolve(agentID string, o *options) (address, *Error) {
	switch {
	case o.baseURL != "":
		return addressOfURL(o.baseURL, "base_url", o.transport)
	case o.addressed:
		return explicitAddress(o)
	case o.local:
		return localAddress(agentID, o.transport)
	}
	if url := os.Getenv(baseURLVariable); url != "" {
		return addressOfURL(url, baseURLVariable, o.transport)
	}
	return address{}, &Error{
		Reason:  ReasonConnectionError,
		Message: "No server is named.",
		Suggestion: "Give host and port (or WithBaseURL), look the agent up on this machine (local, or WithLocal), or set " +
			baseURLVariable + ".",
	}
}

func explicitAddress(o *options) (address, *Error) {
	switch {
	case o.host == "":
		return address{}, invalid("host", "Give host and port together.")
	case strings.Contains(o.host, "://"):
		return address{}, invalid("host", "%q is a URL; give it with WithBaseURL, or the host alone.", o.host)
	case o.port < 1 || o.port > 65535:
		return address{}, invalid("port", "%d is not a number between 1 and 65535.", o.port)
	}
	secure := o.roots != nil || len(o.certificates) > 0
	return address{host: strings.Trim(o.host, "[]"), port: o.port, tls: secure, transport: o.transport}, nil
}

func addressOfURL(text, field string, transport Transport) (address, *Error) {
	parts, err := url.Parse(text)
	if err != nil {
		return address{}, invalid(field, "%q is not a URL.", text)
	}
	found, known := schemes[strings.ToLower(parts.Scheme)]
	if !known || parts.Hostname() == "" {
		return address{}, invalid(field, "%q is not a URL such as http://host:8450 or grpc://host:50051.", text)
	}
	found.host = parts.Hostname()
	if port := parts.Port(); port != "" {
		if found.port, err = strconv.Atoi(port); err != nil || found.port < 1 || found.port > 65535 {
			return address{}, invalid(field, "%q names a port that is not between 1 and 65535.", text)
		}
	}
	if transport != TransportAuto {
		if found.transport != TransportAuto && found.transport != transport {
			return address{}, invalid(field, "%q and transport %q contradict each other.", text, transport)
		}
		found.transport = transport
	}
	return found, nil
}
