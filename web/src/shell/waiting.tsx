import { useEffect, useState } from "react";
import { Skeleton } from "@/ui/states";

/** Code that is on its way: nothing for a moment, then lines. */
export function Waiting() {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 200);
    return () => clearTimeout(timer);
  }, []);
  return late ? (
    <div className="p-6">
      <Skeleton lines={8} />
    </div>
  ) : null;
}
