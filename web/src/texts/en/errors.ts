export default {
  away: "The server cannot be reached. What you see may be old; it is tried again by itself.",
  slow: "The server took too long to answer.",
  unknown: "Something went wrong that should not.",
};
