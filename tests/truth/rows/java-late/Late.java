// SPDX-License-Identifier: Apache-2.0
// Written after the rules. SERVER=undertow: its IO threads read, its workers answer.
// SERVER=sockets: a virtual thread for each connection of a server socket. See ../../README.md.
import io.undertow.Undertow;
import io.undertow.server.HttpServerExchange;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import okhttp3.Call;
import okhttp3.Callback;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;

public class Late {
	static final String NEXT = System.getenv("NEXT");
	static final ExecutorService pool = Executors.newCachedThreadPool();
	static final ExecutorService scheduled = Executors.newScheduledThreadPool(6);
	static final OkHttpClient ok = new OkHttpClient.Builder().retryOnConnectionFailure(false).build();
	static final HttpClient http =
		HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).executor(pool).build();
	static final Semaphore two = new Semaphore(2);

	interface One {
		int call(int n) throws Exception;
	}

	static void nap() throws InterruptedException {
		long us = ThreadLocalRandom.current().nextInt(5000);
		Thread.sleep(us / 1000, (int)(us % 1000) * 1000);
	}

	static Request get(String url) {
		return new Request.Builder().url(url).build();
	}

	static int fetch(String url) throws IOException {
		try (Response r = ok.newCall(get(url)).execute()) {
			r.body().bytes();
			return r.code();
		}
	}

	static int safe(One one, int n) {
		try {
			return one.call(n);
		} catch (Exception e) {
			return 500;
		}
	}

	static CompletableFuture<Integer> later(String url) {
		return http.sendAsync(HttpRequest.newBuilder(URI.create(url)).build(),
				      HttpResponse.BodyHandlers.ofString()).thenApply(HttpResponse::statusCode);
	}

	/** OkHttp's own threads call; the handler waits at a latch. */
	static int latch(String url) throws Exception {
		CountDownLatch done = new CountDownLatch(1);
		AtomicInteger status = new AtomicInteger(500);

		nap();
		ok.newCall(get(url)).enqueue(new Callback() {
			@Override
			public void onFailure(Call c, IOException e) {
				done.countDown();
			}

			@Override
			public void onResponse(Call c, Response r) throws IOException {
				r.body().bytes();
				status.set(r.code());
				done.countDown();
			}
		});
		done.await();
		return status.get();
	}

	static int completion(One one) throws Exception {
		ExecutorCompletionService<Integer> s = new ExecutorCompletionService<>(pool);
		int worst = 0;

		for (int n = 0; n < 3; n++) {
			int i = n;
			s.submit(() -> one.call(i));
		}
		for (int n = 0; n < 3; n++)
			worst = Math.max(worst, s.take().get());
		return worst;
	}

	static int limited(One one) throws Exception {
		two.acquire();
		try {
			return one.call(0);
		} finally {
			two.release();
		}
	}

	/** One request: /SERVICE/SHAPE/ID[/K]. Returns the status of the answer. */
	static int serve(String path) {
		String[] p = path.split("/");
		String shape = p.length > 3 ? p[2] : "none", k = p.length > 4 ? p[4] + "-" : "",
		       base = NEXT + "/one/" + (p.length > 3 ? p[3] : "") + "/" + k;
		One one = n -> {
			nap();
			return fetch(base + n);
		};
		try {
			int status;
			switch (shape) {
			case "none": status = 200; break;
			case "latch": status = latch(base + 0); break;
			case "completion": status = completion(one); break;
			case "limited": status = limited(one); break;
			case "scheduled": status = scheduled.submit(() -> one.call(0)).get(); break;
			case "combine":
				status = CompletableFuture.supplyAsync(() -> safe(one, 0), pool)
					.thenCombine(CompletableFuture.supplyAsync(() -> safe(one, 1), pool), Math::max)
					.join();
				break;
			case "later2":
				nap();
				CompletableFuture<Integer> a = later(base + 0), b = later(base + 1);
				status = Math.max(a.get(), b.join());
				break;
			case "common": status = CompletableFuture.supplyAsync(() -> safe(one, 0)).join(); break;
			case "parallel":
				status = IntStream.range(0, 3).parallel().map(n -> safe(one, n)).max().getAsInt();
				break;
			default: status = one.call(0);
			}
			nap();
			return status < 400 ? 200 : 500;
		} catch (Exception e) {
			return 500;
		}
	}

	static void undertow(String host, int port) {
		Undertow.builder().addHttpListener(port, host).setIoThreads(2).setWorkerThreads(80)
			.setHandler(Late::dispatch).build().start();
	}

	static void dispatch(HttpServerExchange x) {
		if (x.isInIoThread()) {
			x.dispatch(Late::dispatch);
			return;
		}
		x.setStatusCode(serve(x.getRequestPath()));
		x.getResponseSender().send("done");
	}

	static void connection(Socket s) {
		try (s) {
			BufferedReader in = new BufferedReader(new InputStreamReader(s.getInputStream()));
			OutputStream out = s.getOutputStream();
			String first, line;

			s.setTcpNoDelay(true);
			while ((first = in.readLine()) != null) {
				do {
					line = in.readLine();
				} while (line != null && !line.isEmpty());
				out.write(("HTTP/1.1 " + serve(first.split(" ")[1]) +
					   " X\r\nContent-Length: 4\r\n\r\ndone").getBytes());
			}
		} catch (IOException e) {
			return;
		}
	}

	static void sockets(String host, int port) throws Exception {
		ServerSocket s = new ServerSocket(port, 512, InetAddress.getByName(host));
		ExecutorService each = (ExecutorService)Executors.class
			.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);

		for (;;) {
			Socket c = s.accept();
			each.submit(() -> connection(c));
		}
	}

	static void noise(int ms) {
		try {
			for (;;) {
				Thread.sleep(ms);
				later(NEXT + "/noise/0/0").join();
			}
		} catch (InterruptedException e) {
			return;
		}
	}

	public static void main(String[] a) throws Exception {
		String[] listen = System.getenv("LISTEN").split(":");
		int ms = Integer.parseInt(System.getenv().getOrDefault("NOISE", "0"));

		if (ms > 0)
			pool.execute(() -> noise(ms));
		if ("sockets".equals(System.getenv("SERVER")))
			sockets(listen[0], Integer.parseInt(listen[1]));
		else
			undertow(listen[0], Integer.parseInt(listen[1]));
	}
}
