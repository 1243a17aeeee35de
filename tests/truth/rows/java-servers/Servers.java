// SPDX-License-Identifier: Apache-2.0
// Servers and clients that users run: SERVER=tomcat or jetty with THREADS=platform or virtual,
// CLIENT=url, okhttp or apache. See ../../README.md for what an application must do.
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import okhttp3.OkHttpClient;
import okhttp3.RequestBody;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.core.StandardVirtualThreadExecutor;
import org.apache.catalina.startup.Tomcat;
import org.apache.hc.client5.http.classic.methods.HttpGet;
import org.apache.hc.client5.http.classic.methods.HttpPost;
import org.apache.hc.client5.http.classic.methods.HttpUriRequestBase;
import org.apache.hc.client5.http.impl.classic.CloseableHttpClient;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.client5.http.impl.io.PoolingHttpClientConnectionManager;
import org.apache.hc.core5.http.io.entity.ByteArrayEntity;
import org.apache.hc.core5.http.io.entity.EntityUtils;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.VirtualThreads;
import org.eclipse.jetty.util.thread.QueuedThreadPool;

public class Servers {
	static final String NEXT = System.getenv("NEXT");
	static final boolean VIRTUAL = "virtual".equals(System.getenv("THREADS"));
	static final ExecutorService pool = Executors.newFixedThreadPool(8);

	interface Client {
		int fetch(String url, byte[] body) throws Exception;
	}
	static Client client;

	static int url(String url, byte[] body) throws IOException {
		HttpURLConnection c = (HttpURLConnection)URI.create(url).toURL().openConnection();

		if (body != null) {
			c.setDoOutput(true);
			c.setFixedLengthStreamingMode(body.length);
			try (OutputStream out = c.getOutputStream()) {
				out.write(body);
			}
		}
		int status = c.getResponseCode();
		try (InputStream in = status < 400 ? c.getInputStream() : c.getErrorStream()) {
			if (in != null)
				in.readAllBytes();
		}
		return status;
	}

	static Client okhttp() {
		OkHttpClient c = new OkHttpClient.Builder().retryOnConnectionFailure(false).build();

		return (url, body) -> {
			okhttp3.Request.Builder b = new okhttp3.Request.Builder().url(url);
			if (body != null)
				b.post(RequestBody.create(body));
			try (okhttp3.Response r = c.newCall(b.build()).execute()) {
				r.body().bytes();
				return r.code();
			}
		};
	}

	static Client apache() {
		PoolingHttpClientConnectionManager m = new PoolingHttpClientConnectionManager();
		m.setMaxTotal(400);
		m.setDefaultMaxPerRoute(400);
		CloseableHttpClient c = HttpClients.custom().setConnectionManager(m)
			.disableAutomaticRetries().build();

		return (url, body) -> {
			HttpUriRequestBase q = body == null ? new HttpGet(url) : new HttpPost(url);
			if (body != null)
				q.setEntity(new ByteArrayEntity(body, null));
			return c.execute(q, r -> {
				EntityUtils.consume(r.getEntity());
				return r.getCode();
			});
		};
	}

	static void nap() throws InterruptedException {
		long us = ThreadLocalRandom.current().nextInt(5000);
		Thread.sleep(us / 1000, (int)(us % 1000) * 1000);
	}

	/** One request: /SERVICE/SHAPE/ID[/K]. Returns the status of the answer. */
	static int serve(String path, byte[] body) {
		String[] p = path.split("/");
		String shape = p.length > 3 ? p[2] : "none", id = p.length > 3 ? p[3] : "",
		       k = p.length > 4 ? p[4] + "-" : "";
		Call one = n -> {
			nap();
			boolean post = shape.equals("post"), err = shape.equals("err");
			return client.fetch(NEXT + (post ? "/post/" : err ? "/err/" : "/one/") + id + "/" + k + n,
					    post ? body : null);
		};
		try {
			int worst = 0;
			switch (shape) {
			case "none": break;
			case "seq":
				for (int n = 0; n < 3; n++)
					worst = Math.max(worst, one.call(n));
				break;
			case "fan":
				List<Future<Integer>> all = new ArrayList<>();
				for (int n = 0; n < 4; n++) {
					int i = n;
					all.add(pool.submit(() -> one.call(i)));
				}
				for (Future<Integer> f : all)
					worst = Math.max(worst, f.get());
				break;
			case "submit": worst = pool.submit(() -> one.call(0)).get(); break;
			default: worst = one.call(0);
			}
			nap();
			return worst < 400 ? 200 : 500;
		} catch (Exception e) {
			return 500;
		}
	}

	interface Call {
		int call(int n) throws Exception;
	}

	static class Servlet extends HttpServlet {
		@Override
		protected void service(HttpServletRequest q, HttpServletResponse r) throws IOException {
			byte[] b = "done".getBytes();

			r.setStatus(serve(q.getRequestURI(), q.getInputStream().readAllBytes()));
			r.setContentLength(b.length);
			r.getOutputStream().write(b);
		}
	}

	static void tomcat(String host, int port) throws Exception {
		Tomcat t = new Tomcat();
		Connector c = new Connector();

		t.setBaseDir(Files.createTempDirectory("tomcat").toString());
		c.setPort(port);
		c.setProperty("address", host);
		c.setProperty("maxKeepAliveRequests", "-1");
		if (VIRTUAL) {
			StandardVirtualThreadExecutor ex = new StandardVirtualThreadExecutor();
			ex.setName("virtual");
			t.getService().addExecutor(ex);
			c.getProtocolHandler().setExecutor(ex);
		}
		t.getService().addConnector(c);
		t.setConnector(c);
		Context x = t.addContext("", null);
		Tomcat.addServlet(x, "all", new Servlet());
		x.addServletMappingDecoded("/*", "all");
		t.start();
	}

	static void jetty(String host, int port) throws Exception {
		QueuedThreadPool threads = new QueuedThreadPool(200);
		if (VIRTUAL)
			threads.setVirtualThreadsExecutor(VirtualThreads.getDefaultVirtualThreadsExecutor());
		Server s = new Server(threads);
		ServerConnector c = new ServerConnector(s);

		c.setHost(host);
		c.setPort(port);
		s.addConnector(c);
		s.setHandler(new Handler.Abstract() {
			@Override
			public boolean handle(Request q, Response r, Callback done) throws Exception {
				ByteBuffer in = Content.Source.asByteBuffer(q);
				byte[] body = new byte[in.remaining()];

				in.get(body);
				r.setStatus(serve(Request.getPathInContext(q), body));
				Content.Sink.write(r, true, "done", done);
				return true;
			}
		});
		s.start();
	}

	public static void main(String[] a) throws Exception {
		String[] listen = System.getenv("LISTEN").split(":");
		int noise = Integer.parseInt(System.getenv().getOrDefault("NOISE", "0"));

		switch (System.getenv().getOrDefault("CLIENT", "url")) {
		case "okhttp": client = okhttp(); break;
		case "apache": client = apache(); break;
		default: client = Servers::url;
		}
		if (noise > 0) {
			Thread t = new Thread(() -> {
				for (;;) {
					try {
						Thread.sleep(noise);
						client.fetch(NEXT + "/noise/0/0", null);
					} catch (Exception e) {
						System.err.println(e);
					}
				}
			});
			t.setDaemon(true);
			t.start();
		}
		if ("jetty".equals(System.getenv("SERVER")))
			jetty(listen[0], Integer.parseInt(listen[1]));
		else
			tomcat(listen[0], Integer.parseInt(listen[1]));
		Thread.currentThread().join();
	}
}
