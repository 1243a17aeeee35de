// SPDX-License-Identifier: Apache-2.0
// The JDK's HttpServer with a pool of threads, calling out by HttpURLConnection or HttpClient
// (CLIENT=url, sync, async). See ../../README.md for what an application must do.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;

public class App {
	static final String NEXT = System.getenv("NEXT");
	static final String CLIENT = System.getenv().getOrDefault("CLIENT", "url");
	static final HttpClient client =
		HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
	static final ExecutorService pool = Executors.newFixedThreadPool(4);
	static final ExecutorService scheduled = Executors.newScheduledThreadPool(4);
	static final ExecutorService virtual = virtualExecutor();
	static final ForkJoinPool forkJoin = new ForkJoinPool(4);
	static final LinkedBlockingQueue<Item> queue = new LinkedBlockingQueue<>();
	static final List<Item> waiting = new ArrayList<>();
	static final List<Future<Integer>> board = new ArrayList<>();
	static boolean flushing;

	static class Item {
		final Req r;
		final CompletableFuture<Integer> done = new CompletableFuture<>();

		Item(Req r) {
			this.r = r;
		}

		void serve() {
			try {
				done.complete(r.call(0));
			} catch (Exception e) {
				done.complete(500);
			}
		}
	}

	/** One request: /SERVICE/SHAPE/ID[/K]. */
	static class Req {
		final String shape, id, k;
		final byte[] body;

		Req(HttpExchange x) throws IOException {
			String[] p = x.getRequestURI().getPath().split("/");
			shape = p.length > 3 ? p[2] : "ready";
			id = p.length > 3 ? p[3] : "";
			k = p.length > 4 ? p[4] + "-" : "";
			try (InputStream in = x.getRequestBody()) {
				body = in.readAllBytes();
			}
		}

		String ask() {
			switch (shape) {
			case "err": case "abort": case "post": return shape;
			case "timeout": return "hang";
			default: return "one";
			}
		}

		int call(int n) throws Exception {
			nap();
			if (shape.equals("abort"))
				return once(NEXT + "/abort/" + id + "/" + k + n);
			return fetch(NEXT + "/" + ask() + "/" + id + "/" + k + n,
				     shape.equals("post") ? body : null, shape.equals("timeout") ? 100 : 30000);
		}
	}

	static void nap() throws InterruptedException {
		long us = ThreadLocalRandom.current().nextInt(5000);
		Thread.sleep(us / 1000, (int)(us % 1000) * 1000);
	}

	static HttpRequest request(String url, byte[] body, int ms) {
		HttpRequest.Builder b = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofMillis(ms));

		return body == null ? b.build() : b.POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
	}

	/** The JDK's clients ask a second time when a connection ends without an answer. */
	static int once(String url) throws IOException {
		URI u = URI.create(url);

		try (Socket s = new Socket(u.getHost(), u.getPort())) {
			s.getOutputStream().write(
				("GET " + u.getPath() + " HTTP/1.1\r\nHost: next\r\n\r\n").getBytes());
			return s.getInputStream().read() < 0 ? 500 : 200;
		}
	}

	static int fetch(String url, byte[] body, int ms) throws Exception {
		if (CLIENT.equals("sync"))
			return client.send(request(url, body, ms), BodyHandlers.ofString()).statusCode();
		if (CLIENT.equals("async"))
			return client.sendAsync(request(url, body, ms), BodyHandlers.ofString()).get().statusCode();
		HttpURLConnection c = (HttpURLConnection)URI.create(url).toURL().openConnection();
		c.setReadTimeout(ms);
		if (body != null) {
			c.setDoOutput(true);
			c.setRequestMethod("POST");
			c.setFixedLengthStreamingMode(body.length);
			try (OutputStream out = c.getOutputStream()) {
				out.write(body);
			}
		}
		int status;
		try {
			status = c.getResponseCode();
		} catch (IOException e) {
			c.disconnect();
			throw e;
		}
		try (InputStream in = status < 400 ? c.getInputStream() : c.getErrorStream()) {
			if (in != null)
				in.readAllBytes();
		}
		return status;
	}

	static void reply(HttpExchange x, int status) throws IOException {
		byte[] b = "done".getBytes();

		x.sendResponseHeaders(status, b.length);
		x.getResponseBody().write(b);
		x.close();
	}

	static int worst(List<Future<Integer>> all) throws Exception {
		int worst = 0;

		for (Future<Integer> f : all)
			worst = Math.max(worst, f.get());
		return worst;
	}

	static int fan(Req r) throws Exception {
		List<Future<Integer>> all = new ArrayList<>();

		for (int n = 0; n < 4; n++) {
			int i = n;
			all.add(pool.submit(() -> r.call(i)));
		}
		return worst(all);
	}

	/** The same without a list: the futures are variables of this method. */
	static int fanVariables(Req r) throws Exception {
		Future<Integer> a = pool.submit(() -> r.call(0));
		Future<Integer> b = pool.submit(() -> r.call(1));
		Future<Integer> c = pool.submit(() -> r.call(2));
		Future<Integer> d = pool.submit(() -> r.call(3));

		return Math.max(Math.max(a.get(), b.get()), Math.max(c.get(), d.get()));
	}

	static int fanJoin(Req r) throws Exception {
		List<CompletableFuture<Integer>> all = new ArrayList<>();
		int worst = 0;

		for (int n = 0; n < 4; n++) {
			int i = n;
			all.add(CompletableFuture.supplyAsync(() -> safe(() -> r.call(i)), pool));
		}
		for (CompletableFuture<Integer> f : all)
			worst = Math.max(worst, f.join());
		return worst;
	}

	static int fanAsync(Req r) throws Exception {
		List<CompletableFuture<Integer>> all = new ArrayList<>();
		int worst = 0;

		for (int n = 0; n < 4; n++) {
			nap();
			all.add(client.sendAsync(request(NEXT + "/one/" + r.id + "/" + r.k + n, null, 30000),
						 BodyHandlers.ofString()).thenApply(a -> a.statusCode()));
		}
		for (CompletableFuture<Integer> f : all)
			worst = Math.max(worst, f.join());
		return worst;
	}

	/** Holds what others wait for, too, while it waits for its own. */
	static int board(Req r) throws Exception {
		Future<Integer> own = pool.submit(() -> r.call(0));
		List<Future<Integer>> seen;
		int status;

		synchronized (board) {
			board.add(own);
			seen = new ArrayList<>(board);
		}
		nap();
		status = own.get();
		synchronized (board) {
			board.remove(own);
		}
		return seen.isEmpty() ? 500 : status;
	}

	static int invokeAll(Req r) throws Exception {
		List<Callable<Integer>> all = new ArrayList<>();

		for (int n = 0; n < 4; n++) {
			int i = n;
			all.add(() -> r.call(i));
		}
		return worst(pool.invokeAll(all));
	}

	static int allOf(Req r) throws Exception {
		CompletableFuture<?>[] all = new CompletableFuture<?>[4];
		int[] status = new int[4];

		for (int n = 0; n < 4; n++) {
			int i = n;
			all[n] = CompletableFuture.supplyAsync(() -> safe(() -> r.call(i)), pool)
				.thenAccept(s -> status[i] = s);
		}
		CompletableFuture.allOf(all).join();
		return Math.max(Math.max(status[0], status[1]), Math.max(status[2], status[3]));
	}

	static ExecutorService virtualExecutor() {
		try {
			return (ExecutorService)Executors.class.getMethod("newVirtualThreadPerTaskExecutor")
				.invoke(null);
		} catch (ReflectiveOperationException e) {
			return null;
		}
	}

	static int seq(Req r) throws Exception {
		int worst = 0;

		for (int n = 0; n < 3; n++)
			worst = Math.max(worst, r.call(n));
		return worst;
	}

	static Integer safe(Callable<Integer> c) {
		try {
			return c.call();
		} catch (Exception e) {
			return 500;
		}
	}

	static int flush(Req r) throws Exception {
		Item item = new Item(r);

		synchronized (waiting) {
			waiting.add(item);
			if (!flushing) {
				flushing = true;
				pool.submit(App::flusher);
			}
		}
		return item.done.get();
	}

	static void flusher() {
		for (;;) {
			List<Item> batch;

			synchronized (waiting) {
				if (waiting.isEmpty()) {
					flushing = false;
					return;
				}
				batch = new ArrayList<>(waiting);
				waiting.clear();
			}
			batch.forEach(Item::serve);
		}
	}

	static int work(Req r) throws Exception {
		Item item;

		switch (r.shape) {
		case "none": case "ready": nap(); return 200;
		case "seq": return seq(r);
		case "fan": return fan(r);
		case "fanvars": return fanVariables(r);
		case "fanjoin": return fanJoin(r);
		case "fanasync": return fanAsync(r);
		case "scheduled": return scheduled.submit(() -> r.call(0)).get();
		case "board": return board(r);
		case "flush": return flush(r);
		case "submit": return pool.submit(() -> r.call(0)).get();
		case "supply":
			return CompletableFuture.supplyAsync(() -> safe(() -> r.call(0)), pool).get();
		case "apply":
			return CompletableFuture.supplyAsync(() -> safe(() -> r.call(0)), pool)
				.thenApply(x -> x + 1).thenApply(x -> x - 1).join();
		case "invokeall": return invokeAll(r);
		case "allof": return allOf(r);
		case "vsubmit": return virtual.submit(() -> r.call(0)).get();
		case "forkjoin": return forkJoin.submit(() -> r.call(0)).get();
		case "pool":
			item = new Item(r);
			queue.add(item);
			return item.done.get();
		default: return r.call(0);
		}
	}

	static void handle(HttpExchange x) throws IOException {
		Req r = new Req(x);

		if (r.shape.equals("after")) {
			reply(x, 200);
			safe(() -> r.call(0));
			return;
		}
		if (r.shape.equals("reply") || r.shape.equals("replyseq")) {
			pool.execute(() -> {
				int status = safe(() -> r.shape.equals("reply") ? r.call(0) : seq(r));
				safe(() -> {
					reply(x, status);
					return 0;
				});
			});
			return;
		}
		int status = safe(() -> {
			int s = work(r);
			nap();
			return s;
		});
		reply(x, status);
	}

	static void forever(Callable<Integer> c) {
		Thread t = new Thread(() -> {
			for (;;)
				safe(c);
		});
		t.setDaemon(true);
		t.start();
	}

	public static void main(String[] a) throws Exception {
		String[] listen = System.getenv("LISTEN").split(":");
		int noise = Integer.parseInt(System.getenv().getOrDefault("NOISE", "0"));
		HttpServer s = HttpServer.create(
			new InetSocketAddress(listen[0], Integer.parseInt(listen[1])), 512);
		Executor ex = Executors.newFixedThreadPool(80);

		if (System.getenv().getOrDefault("SERVE", "pool").equals("virtual"))
			ex = virtual;
		s.createContext("/", App::handle);
		s.setExecutor(ex);
		for (int i = 0; i < 4; i++)
			forever(() -> {
				queue.take().serve();
				return 0;
			});
		if (noise > 0)
			forever(() -> {
				Thread.sleep(noise);
				return fetch(NEXT + "/noise/0/0", null, 30000);
			});
		s.start();
	}
}
