# Habits of a script: text, numbers, classes, cycles, threads, and what the standard library makes of them.
import collections, copy, gc, hashlib, io, itertools, json, pickle, random, re, sys, threading, zlib

n = int(sys.argv[1])
rng = random.Random(1)
digest = hashlib.sha256()


def tell(name, value):
    text = f"{name} {value}"
    digest.update(text.encode())
    print(text)


class Node:
    def __init__(self, key):
        self.key, self.left, self.right, self.parent = key, None, None, None


def insert(root, key):
    node = root
    while True:
        side = "left" if key < node.key else "right"
        child = getattr(node, side)
        if child is None:
            new = Node(key)
            new.parent = node  # a cycle: only the collector frees it
            setattr(node, side, new)
            return
        node = child


def walk(root):
    stack, node = [], root
    while stack or node:
        while node:
            stack.append(node)
            node = node.left
        node = stack.pop()
        yield node.key
        node = node.right


for turn in range(n):
    words = ["".join(rng.choices("abcdefghij", k=rng.randint(2, 12))) for _ in range(4000)]
    counts = collections.Counter(words)
    tell("words", counts.most_common(3))
    table = {word: {"count": count, "of": list(range(count % 7)), "text": word * 5} for word, count in counts.items()}
    text = json.dumps(table, sort_keys=True)
    tell("json", zlib.crc32(text.encode()))
    again = json.loads(text)
    tell("equal", again == table)
    tell("pickle", len(pickle.loads(pickle.dumps(copy.deepcopy(again)))))
    tell("re", len(re.sub(r"([a-e]+)[f-j]", r"<\1>", text)))
    tell("zlib", len(zlib.decompress(zlib.compress(text.encode() * 3))))
    root = Node(0.5)
    for _ in range(2000):
        insert(root, rng.random())
    keys = list(walk(root))
    tell("tree", (len(keys), keys == sorted(keys)))
    del root
    gc.collect()
    queue = collections.deque(maxlen=1000)
    for i in range(20000):
        queue.append((i, str(i)))
    tell("deque", queue[0])
    grown = []
    for i in range(50000):
        grown.append(i * i)
    tell("sorted", sorted(grown, key=str)[:3])
    out = io.StringIO()
    for i in range(5000):
        out.write(f"line {i}\n")
    tell("lines", len(out.getvalue().splitlines()))
    tell("big", hashlib.md5(str(3 ** 5000).encode()).hexdigest())
    tell("sets", len(set(words) ^ set(words[::2])))
    tell("permutations", sum(1 for _ in itertools.permutations(range(7))))
    results = [None] * 4

    def work(which):
        part = [bytes([which]) * (i % 700 + 1) for i in range(5000)]
        results[which] = sum(len(piece) for piece in part)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tell("threads", results)
    tell("array", sum(len(bytearray(size)) for size in range(0, 3_000_000, 100_000)))
print(digest.hexdigest())
