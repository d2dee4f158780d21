"""The gRPC edge: the only room that touches generated code. Bytes in, frozen values out, errors to status codes."""
