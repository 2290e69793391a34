//! Live views: the change log of a service as a stream that can be resumed.
